//! What there is to copy: every table with its columns, those of its key first.

/// A table.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) columns: &'static [(&'static str, Kind)],
    /// How many of the columns are its key.
    pub(super) key: usize,
}

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Int,
    Small,
    Bool,
    Text,
    Bytes,
}

/// What a row holds in a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cell {
    Null,
    Int(i64),
    Bool(bool),
    Text(String),
    Bytes(Vec<u8>),
}

/// A row: a cell for each column.
pub(super) type Row = Vec<Cell>;

use Kind::{Bool, Bytes, Int, Small, Text};

/// All tables, those that others refer to first. What tells only of the database itself is not copied: which nodes
/// live, how writers number their batches.
pub(super) const TABLES: &[Table] = &[
    Table { name: "tenant", columns: &[("tenant_sid", Text)], key: 1 },
    Table {
        name: "api_key",
        columns: &[
            ("api_key_id", Text),
            ("tenant_sid", Text),
            ("token_hash", Bytes),
            ("created_at", Int),
            ("revoked_at", Int),
        ],
        key: 1,
    },
    Table { name: "setting", columns: &[("tenant_sid", Text), ("name", Text), ("value", Text)], key: 2 },
    Table {
        name: "virtual_number",
        columns: &[
            ("number", Int),
            ("tenant_sid", Text),
            ("region", Text),
            ("number_type", Text),
            ("flow", Text),
            ("state", Small),
        ],
        key: 1,
    },
    Table {
        name: "allocation",
        columns: &[
            ("tenant_sid", Text),
            ("allocation_id", Bytes),
            ("connection_id", Text),
            ("virtual_number", Int),
            ("a_numbers", Text),
            ("a_pins", Text),
            ("a_learned", Text),
            ("a_tag", Text),
            ("b_numbers", Text),
            ("b_pins", Text),
            ("b_learned", Text),
            ("b_tag", Text),
            ("usage", Small),
            ("flow", Text),
            ("exclusive", Bool),
            ("created_at", Int),
            ("expires_at", Int),
            ("cooling", Int),
            ("ended_at", Int),
            ("cooling_until", Int),
            ("ending", Small),
            ("version", Int),
        ],
        key: 2,
    },
    Table {
        name: "claim",
        columns: &[
            ("kind", Small),
            ("key", Int),
            ("virtual_number", Int),
            ("allocation_id", Bytes),
            ("held_until", Int),
        ],
        key: 3,
    },
    Table {
        name: "connection_claim",
        columns: &[
            ("tenant_sid", Text),
            ("connection_id", Text),
            ("allocation_id", Bytes),
            ("held_until", Int),
        ],
        key: 2,
    },
    Table {
        name: "receipt",
        columns: &[
            ("tenant_sid", Text),
            ("scope", Text),
            ("key", Text),
            ("fingerprint", Bytes),
            ("status", Small),
            ("body", Bytes),
            ("made_at", Int),
        ],
        key: 3,
    },
    Table {
        name: "call",
        columns: &[
            ("tenant_sid", Text),
            ("call_id", Bytes),
            ("node_id", Bytes),
            ("allocation_id", Bytes),
            ("virtual_number", Int),
            ("started_at", Int),
            ("ended_at", Int),
            ("ending", Text),
            ("hangup", Bool),
            ("version", Int),
            ("document", Text),
        ],
        key: 2,
    },
    Table {
        name: "event",
        columns: &[
            ("tenant_sid", Text),
            ("event_id", Bytes),
            ("kind", Text),
            ("at", Int),
            ("line", Bytes),
            ("sequence", Int),
            ("allocation_id", Bytes),
            ("call_id", Bytes),
            ("document", Text),
        ],
        key: 2,
    },
    Table {
        name: "endpoint",
        columns: &[
            ("tenant_sid", Text),
            ("endpoint_id", Text),
            ("dialect", Small),
            ("url", Text),
            ("kinds", Text),
            ("masked", Bool),
            ("secret", Bytes),
            ("old_secret", Bytes),
            ("old_secret_until", Int),
            ("created_at", Int),
            ("disabled_at", Int),
            ("disabled_why", Text),
        ],
        key: 2,
    },
    Table {
        name: "delivery",
        columns: &[
            ("tenant_sid", Text),
            ("event_id", Bytes),
            ("endpoint_id", Text),
            ("line", Bytes),
            ("sequence", Int),
            ("kind", Text),
            ("state", Small),
            ("attempts", Int),
            ("due_at", Int),
            ("status", Small),
            ("why", Text),
        ],
        key: 3,
    },
    Table {
        name: "audit",
        columns: &[
            ("audit_id", Bytes),
            ("at", Int),
            ("tenant_sid", Text),
            ("actor", Text),
            ("request", Text),
            ("what", Text),
            ("subject", Text),
            ("place", Int),
            ("hash", Bytes),
        ],
        key: 1,
    },
    Table { name: "trunk", columns: &[("trunk_name", Text), ("setting", Text), ("value", Text)], key: 2 },
];

impl Table {
    /// The names of the columns, separated by commas.
    pub(super) fn names(&self) -> String {
        names(self.columns)
    }

    /// The names of the key's columns, separated by commas.
    pub(super) fn key_names(&self) -> String {
        names(self.key_columns())
    }

    /// The columns of the key.
    pub(super) fn key_columns(&self) -> &'static [(&'static str, Kind)] {
        self.columns.split_at(self.key).0
    }
}

fn names(columns: &[(&str, Kind)]) -> String {
    columns.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}
