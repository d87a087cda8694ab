//! A second wall between tenants, where an operator wants one: what is read for a tenant is read by a role to which the
//! engine shows that tenant's rows alone, whatever a statement asks for.
//!
//! The first wall is that every such statement has the tenant in its key. Changes, calls and background work are done by
//! the owner of the tables, whom policies do not bind.

use tokio_postgres::types::Type;

use super::fault::Fault;
use super::migrate::{LOCK, SchemaError};
use super::session::Session;
use super::statements::{self as sql, Sql};

/// What the role may read, and which rows of it.
const OPEN: &[(&str, &str)] = &[
    ("allocation", TENANT),
    ("connection_claim", TENANT),
    ("receipt", TENANT),
    ("call", TENANT),
    ("event", TENANT),
    ("delivery", TENANT),
    ("virtual_number", TENANT),
    // A claim is of whoever has the number that it stands on.
    ("claim", "exists (select 1 from virtual_number as v where v.number = claim.virtual_number)"),
];

const TENANT: &str = "tenant_sid = current_setting('callveil.tenant', true)";

/// The name of every policy.
const POLICY: &str = "callveil_tenant";

const ROLE: Sql = Sql {
    text: "
        select 1
        from pg_catalog.pg_roles
        where rolname = $1
            and pg_has_role(current_user, oid, 'member')",
    types: &[Type::TEXT],
};

const STANDING: Sql = Sql {
    text: "
        select tablename
        from pg_catalog.pg_policies
        where schemaname = any (current_schemas(false))
            and policyname = $1
            and $2 = any (roles)",
    types: &[Type::TEXT, Type::TEXT],
};

/// Builds what is missing of the wall, for a role that is there and that we may take.
pub(super) async fn build(session: &Session, role: &str) -> Result<(), SchemaError> {
    if session.query(&ROLE, &[&role]).await?.is_empty() {
        return Err(SchemaError::NoRole(role.to_owned()));
    }
    if is_missing(session, role).await?.is_empty() {
        return Ok(());
    }
    session.run(LOCK).await?;
    match raise(session, role).await {
        Ok(()) => Ok(session.run(sql::COMMIT).await?),
        Err(fault) => {
            session.run(sql::ROLLBACK).await?;
            Err(fault.into())
        }
    }
}

/// Refuses a database without the wall: reads by the role would find nothing.
pub(super) async fn recognise(session: &Session, role: &str) -> Result<(), SchemaError> {
    match is_missing(session, role).await?.is_empty() {
        true => Ok(()),
        false => Err(SchemaError::NoWall(role.to_owned())),
    }
}

/// Builds what is missing of it, in a transaction that has begun.
pub(super) async fn raise(session: &Session, role: &str) -> Result<(), Fault> {
    for (table, rows) in is_missing(session, role).await? {
        session
            .run(&format!(
                "alter table {table} enable row level security;
                drop policy if exists {POLICY} on {table};
                create policy {POLICY} on {table} for select to {role} using ({rows});
                grant select on {table} to {role}"
            ))
            .await?;
    }
    Ok(())
}

/// The tables on which no policy of ours stands.
async fn is_missing(session: &Session, role: &str) -> Result<Vec<(&'static str, &'static str)>, Fault> {
    let rows = session.query(&STANDING, &[&POLICY, &role]).await?;
    let standing =
        rows.iter().map(|row| Ok(row.try_get::<_, String>(0)?)).collect::<Result<Vec<_>, Fault>>()?;
    Ok(OPEN.iter().copied().filter(|(table, _)| !standing.iter().any(|there| there == table)).collect())
}
