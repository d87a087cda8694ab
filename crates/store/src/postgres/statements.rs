//! Every statement, with the types of its parameters, in one list. They say what the statements on SQLite say; those
//! that write take whole batches, as arrays of equal length.
//!
//! Only what PostgreSQL and the engines that speak its language have in common is used: no notifications, no advisory
//! locks, no sequences, no triggers.

use tokio_postgres::types::Type;

/// A statement and the types of its parameters, which are told to the engine and never guessed by it.
#[derive(Debug)]
pub(super) struct Sql {
    pub(super) text: &'static str,
    pub(super) types: &'static [Type],
}

macro_rules! allocation_columns {
    () => {
        "a.tenant_sid, a.allocation_id, a.connection_id, a.virtual_number,
        a.a_numbers, a.a_pins, a.a_learned, a.a_tag,
        a.b_numbers, a.b_pins, a.b_learned, a.b_tag,
        a.usage, a.flow, a.exclusive, a.created_at,
        a.expires_at, a.cooling, a.ended_at, a.cooling_until, a.ending,
        a.version"
    };
}

/// The parameters of a batch of allocations: the columns in the order of `allocation_columns!`.
macro_rules! allocation_arrays {
    () => {
        "unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22)
        as a (
            tenant_sid, allocation_id, connection_id, virtual_number,
            a_numbers, a_pins, a_learned, a_tag,
            b_numbers, b_pins, b_learned, b_tag,
            usage, flow, exclusive, created_at,
            expires_at, cooling, ended_at, cooling_until, ending,
            version)"
    };
}

macro_rules! event_columns {
    () => {
        "e.tenant_sid, e.event_id, e.at, e.line, e.sequence, e.kind, e.document"
    };
}

/// The deliveries of a batch.
macro_rules! deliveries {
    () => {
        "
        insert into delivery (
            tenant_sid, event_id, endpoint_id, line, sequence, kind, state, attempts, due_at, status, why)
        select d.tenant_sid, d.event_id, d.endpoint_id, d.line, d.sequence, d.kind,
            d.state, d.attempts, d.due_at, d.status, d.why
        from unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) as d (
            tenant_sid, event_id, endpoint_id, line, sequence, kind, state, attempts, due_at, status, why)
        order by d.tenant_sid, d.event_id, d.endpoint_id"
    };
}

macro_rules! statements {
    ($($(#[$about:meta])* $name:ident($($type:ident),*) = $sql:expr;)*) => {
        $($(#[$about])* pub(super) const $name: Sql = Sql { text: $sql, types: &[$(Type::$type),*] };)*

        /// All of them, by name.
        #[cfg(test)]
        const ALL: &[(&str, Sql)] = &[$((stringify!($name), $name)),*];
    };
}

/// Begins a batch. Sequential scans are the plans that an engine makes for tables that are empty still, and keeps when
/// they are so no longer.
pub(super) const BEGIN: &str = "
    begin;
    set local statement_timeout = '5s';
    set local lock_timeout = '2s';
    set local enable_seqscan = off";

/// Begins a change of the directory, which may go through all claims.
pub(super) const BEGIN_LONG: &str = "
    begin;
    set local statement_timeout = '60s';
    set local lock_timeout = '5s'";

pub(super) const BEGIN_READ: &str = "begin read only";

/// Begins a read of many keys, which an engine may think is quicker done by going through the table.
pub(super) const BEGIN_READ_OF_MANY: &str = "
    begin read only;
    set local enable_seqscan = off";

pub(super) const COMMIT: &str = "commit";
pub(super) const ROLLBACK: &str = "rollback";

statements! {
    // A batch, in the order in which its statements are sent.

    /// Whoever lends a number whole keeps all others away from it until it is known.
    LOCK_NUMBERS(INT8_ARRAY) = "
        select number, tenant_sid, state
        from virtual_number
        where number = any ($1)
        order by number
        for no key update";

    /// Whoever lends a number waits for its being drained, removed or lent whole, and for nothing else.
    HOLD_NUMBERS(INT8_ARRAY) = "
        select number, tenant_sid, state
        from virtual_number
        where number = any ($1)
        order by number
        for share";

    KEEP_RECEIPTS(TEXT_ARRAY, TEXT_ARRAY, TEXT_ARRAY, BYTEA_ARRAY, INT2_ARRAY, BYTEA_ARRAY, INT8_ARRAY) = "
        insert into receipt (tenant_sid, scope, key, fingerprint, status, body, made_at)
        select r.tenant_sid, r.scope, r.key, r.fingerprint, r.status, r.body, r.made_at
        from unnest($1, $2, $3, $4, $5, $6, $7)
            as r (tenant_sid, scope, key, fingerprint, status, body, made_at)
        order by r.tenant_sid, r.scope, r.key
        on conflict (tenant_sid, scope, key) do nothing
        returning tenant_sid, scope, key";

    INSERT_ALLOCATIONS(
        TEXT_ARRAY, BYTEA_ARRAY, TEXT_ARRAY, INT8_ARRAY,
        TEXT_ARRAY, TEXT_ARRAY, TEXT_ARRAY, TEXT_ARRAY,
        TEXT_ARRAY, TEXT_ARRAY, TEXT_ARRAY, TEXT_ARRAY,
        INT2_ARRAY, TEXT_ARRAY, BOOL_ARRAY, INT8_ARRAY,
        INT8_ARRAY, INT8_ARRAY, INT8_ARRAY, INT8_ARRAY, INT2_ARRAY,
        INT8_ARRAY
    ) = concat!("
        insert into allocation (
            tenant_sid, allocation_id, connection_id, virtual_number,
            a_numbers, a_pins, a_learned, a_tag,
            b_numbers, b_pins, b_learned, b_tag,
            usage, flow, exclusive, created_at,
            expires_at, cooling, ended_at, cooling_until, ending,
            version)
        select ", allocation_columns!(), "
        from ", allocation_arrays!(), "
        order by a.tenant_sid, a.allocation_id
        on conflict (tenant_sid, allocation_id) do nothing
        returning allocation_id");

    /// Locks the old forms in one order first, so that two nodes that write the same ones never wait for each other.
    UPDATE_ALLOCATIONS(
        TEXT_ARRAY, BYTEA_ARRAY, TEXT_ARRAY, INT8_ARRAY,
        TEXT_ARRAY, TEXT_ARRAY, TEXT_ARRAY, TEXT_ARRAY,
        TEXT_ARRAY, TEXT_ARRAY, TEXT_ARRAY, TEXT_ARRAY,
        INT2_ARRAY, TEXT_ARRAY, BOOL_ARRAY, INT8_ARRAY,
        INT8_ARRAY, INT8_ARRAY, INT8_ARRAY, INT8_ARRAY, INT2_ARRAY,
        INT8_ARRAY
    ) = concat!("
        with locked as (
            select ", allocation_columns!(), "
            from ", allocation_arrays!(), "
            join allocation as old
                on old.tenant_sid = a.tenant_sid
                and old.allocation_id = a.allocation_id
                and old.version = a.version - 1
            order by old.tenant_sid, old.allocation_id
            for update of old)
        update allocation as old
        set connection_id = a.connection_id, virtual_number = a.virtual_number,
            a_numbers = a.a_numbers, a_pins = a.a_pins, a_learned = a.a_learned, a_tag = a.a_tag,
            b_numbers = a.b_numbers, b_pins = a.b_pins, b_learned = a.b_learned, b_tag = a.b_tag,
            usage = a.usage, flow = a.flow, exclusive = a.exclusive, created_at = a.created_at,
            expires_at = a.expires_at, cooling = a.cooling,
            ended_at = a.ended_at, cooling_until = a.cooling_until, ending = a.ending,
            version = a.version
        from locked as a
        where old.tenant_sid = a.tenant_sid
            and old.allocation_id = a.allocation_id
            and old.version = a.version - 1
        returning old.allocation_id");

    /// Who holds these numbers whole.
    WHOLE_CLAIMS(INT8_ARRAY, INT8) = "
        select virtual_number, allocation_id
        from claim
        where kind = 2
            and key = 0
            and virtual_number = any ($1)
            and held_until > least($2, cast(extract(epoch from current_timestamp) * 1000000 as bigint))";

    /// Lets the changes that count the pins of a number come one after the other.
    ENTER_PIN_ROOMS(INT8_ARRAY) = "
        insert into pin_room (virtual_number, changes)
        select p.virtual_number, 1
        from unnest($1) as p (virtual_number)
        order by p.virtual_number
        on conflict (virtual_number) do update
        set changes = pin_room.changes + 1";

    /// Locks the claims that a batch takes and lets cool, all in one order. Taking locks a claim even when another
    /// holds it: two batches of which each takes what the other lets cool would wait for each other.
    LOCK_CLAIMS(INT2_ARRAY, INT8_ARRAY, INT8_ARRAY) = "
        select 1
        from unnest($1, $2, $3) as w (kind, key, virtual_number)
        join claim as c
            on c.kind = w.kind
            and c.key = w.key
            and c.virtual_number = w.virtual_number
        order by c.kind, c.key, c.virtual_number
        for update of c";

    LOCK_CONNECTIONS(TEXT_ARRAY, TEXT_ARRAY) = "
        select 1
        from unnest($1, $2) as w (tenant_sid, connection_id)
        join connection_claim as c
            on c.tenant_sid = w.tenant_sid
            and c.connection_id = w.connection_id
        order by c.tenant_sid, c.connection_id
        for update of c";

    /// Takes claims that are free, or that the same allocation holds. A node whose clock runs ahead frees nothing
    /// early: a claim is free when the engine's clock says so too.
    TAKE(INT2_ARRAY, INT8_ARRAY, INT8_ARRAY, BYTEA_ARRAY, INT8_ARRAY, INT8) = "
        insert into claim (kind, key, virtual_number, allocation_id, held_until)
        select w.kind, w.key, w.virtual_number, w.allocation_id, w.held_until
        from unnest($1, $2, $3, $4, $5) as w (kind, key, virtual_number, allocation_id, held_until)
        order by w.kind, w.key, w.virtual_number
        on conflict (kind, key, virtual_number) do update
        set allocation_id = excluded.allocation_id, held_until = excluded.held_until
        where claim.held_until <= least($6, cast(extract(epoch from current_timestamp) * 1000000 as bigint))
            or claim.allocation_id = excluded.allocation_id
        returning kind, key, virtual_number";

    TAKE_CONNECTIONS(TEXT_ARRAY, TEXT_ARRAY, BYTEA_ARRAY, INT8_ARRAY, INT8) = "
        insert into connection_claim (tenant_sid, connection_id, allocation_id, held_until)
        select w.tenant_sid, w.connection_id, w.allocation_id, w.held_until
        from unnest($1, $2, $3, $4) as w (tenant_sid, connection_id, allocation_id, held_until)
        order by w.tenant_sid, w.connection_id
        on conflict (tenant_sid, connection_id) do update
        set allocation_id = excluded.allocation_id, held_until = excluded.held_until
        where connection_claim.held_until
                <= least($5, cast(extract(epoch from current_timestamp) * 1000000 as bigint))
            or connection_claim.allocation_id = excluded.allocation_id
        returning tenant_sid, connection_id";

    COOL(INT2_ARRAY, INT8_ARRAY, INT8_ARRAY, BYTEA_ARRAY, INT8_ARRAY) = "
        with locked as (
            select old.kind, old.key, old.virtual_number, w.allocation_id, w.held_until
            from unnest($1, $2, $3, $4, $5) as w (kind, key, virtual_number, allocation_id, held_until)
            join claim as old
                on old.kind = w.kind
                and old.key = w.key
                and old.virtual_number = w.virtual_number
                and old.allocation_id = w.allocation_id
            order by old.kind, old.key, old.virtual_number
            for update of old)
        update claim as old
        set held_until = w.held_until
        from locked as w
        where old.kind = w.kind
            and old.key = w.key
            and old.virtual_number = w.virtual_number
            and old.allocation_id = w.allocation_id";

    COOL_CONNECTIONS(TEXT_ARRAY, TEXT_ARRAY, BYTEA_ARRAY, INT8_ARRAY) = "
        with locked as (
            select old.tenant_sid, old.connection_id, w.allocation_id, w.held_until
            from unnest($1, $2, $3, $4) as w (tenant_sid, connection_id, allocation_id, held_until)
            join connection_claim as old
                on old.tenant_sid = w.tenant_sid
                and old.connection_id = w.connection_id
                and old.allocation_id = w.allocation_id
            order by old.tenant_sid, old.connection_id
            for update of old)
        update connection_claim as old
        set held_until = w.held_until
        from locked as w
        where old.tenant_sid = w.tenant_sid
            and old.connection_id = w.connection_id
            and old.allocation_id = w.allocation_id";

    /// How many pins allocations other than this one hold on a number.
    COUNT_OTHERS_PINS(INT8_ARRAY, BYTEA_ARRAY, INT8_ARRAY) = "
        select r.virtual_number, r.allocation_id, (
            select count(*)
            from claim as c
            where c.kind = 1
                and c.virtual_number = r.virtual_number
                and c.held_until > r.now
                and c.allocation_id <> r.allocation_id)
        from unnest($1, $2, $3) as r (virtual_number, allocation_id, now)";

    /// The last statement of every batch, so that whoever finds the batch's number finds all of the batch.
    NOTE_BATCH(BYTEA, INT8, INT8) = "
        insert into writer (writer_id, batch, latest)
        values ($1, $2, $3)
        on conflict (writer_id) do update
        set batch = excluded.batch, latest = greatest(writer.latest, excluded.latest)";

    /// The last batch of a writer. Waits for a transaction that has not come to its end.
    LAST_BATCH(BYTEA) = "
        select batch
        from writer
        where writer_id = $1
        for update";

    LATEST_MOMENT() = "
        select coalesce(max(latest), 0)
        from writer";

    NOW() = "
        select cast(extract(epoch from clock_timestamp()) * 1000000 as bigint)";

    /// What is read in this transaction is one tenant's, and is read by a role that sees nothing else.
    STAND_BEHIND(TEXT, TEXT) = "
        select set_config('callveil.tenant', $1, true), set_config('role', $2, true)";

    // Allocations.

    ALLOCATION(TEXT, BYTEA) = concat!("
        select ", allocation_columns!(), "
        from allocation as a
        where a.tenant_sid = $1
            and a.allocation_id = $2");

    ALLOCATION_BY_CONNECTION(TEXT, TEXT) = concat!("
        select ", allocation_columns!(), "
        from connection_claim as c
        join allocation as a
            on a.tenant_sid = c.tenant_sid
            and a.allocation_id = c.allocation_id
        where c.tenant_sid = $1
            and c.connection_id = $2");

    ALLOCATIONS_BY_NUMBER(TEXT, INT8, INT8) = concat!("
        select ", allocation_columns!(), "
        from allocation as a
        where a.tenant_sid = $1
            and a.allocation_id in (
                select c.allocation_id
                from claim as c
                where c.kind = 0
                    and c.key = $2)
        order by a.allocation_id desc
        limit $3");

    /// One row at least, with the count of all pages. Ids sort by the time of making, to the millisecond; `created_at`
    /// is exact.
    LIST(TEXT, BYTEA, BYTEA, INT8, INT8, BOOL, INT8, INT8, INT8) = concat!("
        with found as (
            select *
            from allocation as a
            where a.tenant_sid = $1
                and a.allocation_id >= $2
                and a.allocation_id < $3
                and a.created_at between $4 and $5
                and ($6 is null or $6 = (a.ended_at is null and a.expires_at > $7)))
        select
            counted.total,
            ", allocation_columns!(), "
        from (
            select count(*) as total
            from found) as counted
        left join (
            select *
            from found
            order by allocation_id
            limit $8
            offset $9) as a
            on true
        order by a.allocation_id");

    DUE(INT8, INT8) = concat!("
        select ", allocation_columns!(), "
        from allocation as a
        where a.ended_at is null
            and a.expires_at <= $1
        order by a.expires_at
        limit $2");

    LOADS() = "
        select virtual_number, count(*)
        from allocation
        where ended_at is null
        group by virtual_number";

    ALLOCATIONS_AFTER(TEXT, BYTEA, INT8) = concat!("
        select ", allocation_columns!(), "
        from allocation as a
        where (a.tenant_sid, a.allocation_id) > ($1, $2)
        order by a.tenant_sid, a.allocation_id
        limit $3");

    // Claims.

    CLAIMS(INT2_ARRAY, INT8_ARRAY, INT8_ARRAY) = "
        select c.kind, c.key, c.virtual_number, c.allocation_id, c.held_until
        from unnest($1, $2, $3) as w (kind, key, virtual_number)
        join claim as c
            on c.kind = w.kind
            and c.key = w.key
            and c.virtual_number = w.virtual_number";

    CONNECTION_CLAIMS(TEXT_ARRAY, TEXT_ARRAY) = "
        select c.tenant_sid, c.connection_id, c.allocation_id, c.held_until
        from unnest($1, $2) as w (tenant_sid, connection_id)
        join connection_claim as c
            on c.tenant_sid = w.tenant_sid
            and c.connection_id = w.connection_id";

    CLAIMS_AFTER(INT2, INT8, INT8, INT8) = "
        select kind, key, virtual_number, allocation_id, held_until
        from claim
        where (kind, key, virtual_number) > ($1, $2, $3)
        order by kind, key, virtual_number
        limit $4";

    CONNECTION_CLAIMS_AFTER(TEXT, TEXT, INT8) = "
        select tenant_sid, connection_id, allocation_id, held_until
        from connection_claim
        where (tenant_sid, connection_id) > ($1, $2)
        order by tenant_sid, connection_id
        limit $3";

    PAST_OF(INT8_ARRAY) = "
        select key, virtual_number, allocation_id, held_until
        from claim
        where kind = 0
            and key = any ($1)";

    PINS_ON(INT8, INT8) = "
        select key, allocation_id
        from claim
        where kind = 1
            and virtual_number = $1
            and held_until > $2";

    HOLDER_OF_PIN(INT8, INT8, INT8) = concat!("
        select ", allocation_columns!(), "
        from claim as c
        join virtual_number as v
            on v.number = c.virtual_number
        join allocation as a
            on a.tenant_sid = v.tenant_sid
            and a.allocation_id = c.allocation_id
        where c.kind = 1
            and c.key = $2
            and c.virtual_number = $1
            and c.held_until > $3");

    /// One row always. Who holds anything on a number is of the tenant that has it.
    CALL_FACTS(INT8, INT8, INT8) = concat!("
        select
            v.tenant_sid is not null,
            exists (
                select 1
                from virtual_number as other
                where other.number = $2),
            exists (
                select 1
                from claim as pin
                -- One that cools opens nothing, and is not asked for.
                join allocation as lent
                    on lent.tenant_sid = v.tenant_sid
                    and lent.allocation_id = pin.allocation_id
                    and lent.virtual_number = $1
                    and lent.expires_at > $3
                    and (lent.a_pins <> '' or lent.b_pins <> '')
                where pin.kind = 1
                    and pin.virtual_number = $1
                    and pin.held_until > $3),
            a.allocation_id is not null,
            ", allocation_columns!(), "
        from (select $1 as number) as dialled
        left join virtual_number as v
            on v.number = dialled.number
        left join claim as c
            on c.kind = 0
            and c.key = $2
            and c.virtual_number = dialled.number
            and c.held_until > $3
        left join allocation as a
            on a.tenant_sid = v.tenant_sid
            and a.allocation_id = c.allocation_id");

    // Receipts.

    RECEIPT(TEXT, TEXT, TEXT) = "
        select fingerprint, status, body, made_at
        from receipt
        where tenant_sid = $1
            and scope = $2
            and key = $3";

    // The directory.

    REVISION() = "
        select number
        from revision";

    /// Moves the revision first of all, and so lets changes of the directory come one after the other.
    MOVE_REVISION() = "
        update revision
        set number = number + 1";

    TENANTS() = "
        select tenant_sid
        from tenant
        order by tenant_sid";

    SETTINGS() = "
        select tenant_sid, name, value
        from setting
        order by tenant_sid, name";

    LIVE_KEYS() = "
        select api_key_id, tenant_sid, token_hash, created_at, revoked_at
        from api_key
        where revoked_at is null
        order by api_key_id";

    NUMBERS() = "
        select tenant_sid, number, region, number_type, flow, state
        from virtual_number
        order by tenant_sid, number";

    /// Whose a number is, and its state. Keeps it from being lent until the change is done.
    NUMBER(INT8) = "
        select tenant_sid, state
        from virtual_number
        where number = $1
        for update";

    TENANT_EXISTS(TEXT) = "
        select 1
        from tenant
        where tenant_sid = $1";

    ADD_TENANT(TEXT) = "
        insert into tenant (tenant_sid)
        values ($1)
        on conflict (tenant_sid) do nothing
        returning 1";

    SET_SETTING(TEXT, TEXT, TEXT) = "
        insert into setting (tenant_sid, name, value)
        values ($1, $2, $3)
        on conflict (tenant_sid, name) do update
        set value = excluded.value";

    COUNT_LIVE_KEYS(TEXT) = "
        select count(*)
        from api_key
        where tenant_sid = $1
            and revoked_at is null";

    ADD_KEY(TEXT, TEXT, BYTEA, INT8, INT8) = "
        insert into api_key (api_key_id, tenant_sid, token_hash, created_at, revoked_at)
        values ($1, $2, $3, $4, $5)";

    REVOKE_KEY(TEXT, TEXT, INT8) = "
        update api_key
        set revoked_at = $3
        where api_key_id = $2
            and tenant_sid = $1
            and revoked_at is null
        returning 1";

    PUT_NUMBER(INT8, TEXT, TEXT, TEXT, TEXT, INT2) = "
        insert into virtual_number (number, tenant_sid, region, number_type, flow, state)
        values ($1, $2, $3, $4, $5, $6)
        on conflict (number) do update
        set region = excluded.region, number_type = excluded.number_type, flow = excluded.flow, state = excluded.state
        where virtual_number.tenant_sid = excluded.tenant_sid
        returning 1";

    SET_LENDING(TEXT, INT8, INT2) = "
        update virtual_number
        set state = $3
        where number = $2
            and tenant_sid = $1
        returning 1";

    REMOVE_NUMBER(TEXT, INT8) = "
        delete from virtual_number
        where number = $2
            and tenant_sid = $1
        returning 1";

    /// Goes through all claims: no index serves it, because only the end of numbers asks.
    NUMBERS_HELD(INT8_ARRAY, INT8) = "
        select distinct virtual_number
        from claim
        where virtual_number = any ($1)
            and held_until > $2";

    // Tidying. Each walks a table by its key from where the last step ended.

    CLAIM_STEP(INT2, INT8, INT8, INT8) = "
        select kind, key, virtual_number
        from claim
        where (kind, key, virtual_number) > ($1, $2, $3)
        order by kind, key, virtual_number
        limit 1
        offset $4";

    TIDY_CLAIMS(INT2, INT8, INT8, INT2, INT8, INT8, INT8) = "
        delete from claim
        where (kind, key, virtual_number) > ($1, $2, $3)
            and (kind, key, virtual_number) <= ($4, $5, $6)
            and held_until < $7
        returning 1";

    CONNECTION_STEP(TEXT, TEXT, INT8) = "
        select tenant_sid, connection_id
        from connection_claim
        where (tenant_sid, connection_id) > ($1, $2)
        order by tenant_sid, connection_id
        limit 1
        offset $3";

    TIDY_CONNECTIONS(TEXT, TEXT, TEXT, TEXT, INT8) = "
        delete from connection_claim
        where (tenant_sid, connection_id) > ($1, $2)
            and (tenant_sid, connection_id) <= ($3, $4)
            and held_until < $5
        returning 1";

    ALLOCATION_STEP(TEXT, BYTEA, INT8) = "
        select tenant_sid, allocation_id
        from allocation
        where (tenant_sid, allocation_id) > ($1, $2)
        order by tenant_sid, allocation_id
        limit 1
        offset $3";

    TIDY_ALLOCATIONS(TEXT, BYTEA, TEXT, BYTEA, INT8) = "
        delete from allocation
        where (tenant_sid, allocation_id) > ($1, $2)
            and (tenant_sid, allocation_id) <= ($3, $4)
            and cooling_until < $5
        returning 1";

    TIDY_RECEIPTS(INT8, INT8) = "
        delete from receipt
        where (tenant_sid, scope, key) in (
            select tenant_sid, scope, key
            from receipt
            where made_at < $1
            order by made_at
            limit $2)
        returning 1";

    /// Forgets writers that ended long ago. The one that knows the latest moment stays.
    TIDY_WRITERS(INT8) = "
        delete from writer
        where latest < $1
            and latest < (
                select max(latest)
                from writer)";

    // What happened, in a batch.

    /// The next forms of calls: none that is there already, and none after its end.
    PUT_CALLS(
        TEXT_ARRAY, BYTEA_ARRAY, BYTEA_ARRAY, BYTEA_ARRAY, INT8_ARRAY,
        INT8_ARRAY, INT8_ARRAY, TEXT_ARRAY, INT8_ARRAY, TEXT_ARRAY
    ) = "
        insert into call (
            tenant_sid, call_id, node_id, allocation_id, virtual_number,
            started_at, ended_at, ending, version, document)
        select c.tenant_sid, c.call_id, c.node_id, c.allocation_id, c.virtual_number,
            c.started_at, c.ended_at, c.ending, c.version, c.document
        from unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) as c (
            tenant_sid, call_id, node_id, allocation_id, virtual_number,
            started_at, ended_at, ending, version, document)
        order by c.tenant_sid, c.call_id
        on conflict (tenant_sid, call_id) do update
        set node_id = excluded.node_id, allocation_id = excluded.allocation_id,
            ended_at = excluded.ended_at, ending = excluded.ending,
            version = excluded.version, document = excluded.document
        where call.version < excluded.version
            and call.ended_at is null
        returning call_id";

    REQUEST_HANGUPS(TEXT_ARRAY, BYTEA_ARRAY) = "
        update call
        set hangup = true
        from unnest($1, $2) as w (tenant_sid, call_id)
        where call.tenant_sid = w.tenant_sid
            and call.call_id = w.call_id
            and call.ended_at is null";

    PUT_EVENTS(
        TEXT_ARRAY, BYTEA_ARRAY, TEXT_ARRAY, INT8_ARRAY, BYTEA_ARRAY, INT8_ARRAY, BYTEA_ARRAY, BYTEA_ARRAY, TEXT_ARRAY
    ) = "
        insert into event (tenant_sid, event_id, kind, at, line, sequence, allocation_id, call_id, document)
        select e.tenant_sid, e.event_id, e.kind, e.at, e.line, e.sequence, e.allocation_id, e.call_id, e.document
        from unnest($1, $2, $3, $4, $5, $6, $7, $8, $9)
            as e (tenant_sid, event_id, kind, at, line, sequence, allocation_id, call_id, document)
        order by e.tenant_sid, e.event_id
        on conflict (tenant_sid, event_id) do nothing";

    OWE_DELIVERIES(
        TEXT_ARRAY, BYTEA_ARRAY, TEXT_ARRAY, BYTEA_ARRAY, INT8_ARRAY, TEXT_ARRAY,
        INT2_ARRAY, INT8_ARRAY, INT8_ARRAY, INT2_ARRAY, TEXT_ARRAY
    ) = concat!(deliveries!(), "
        on conflict (tenant_sid, event_id, endpoint_id) do nothing");

    OWE_DELIVERIES_AGAIN(
        TEXT_ARRAY, BYTEA_ARRAY, TEXT_ARRAY, BYTEA_ARRAY, INT8_ARRAY, TEXT_ARRAY,
        INT2_ARRAY, INT8_ARRAY, INT8_ARRAY, INT2_ARRAY, TEXT_ARRAY
    ) = concat!(deliveries!(), "
        on conflict (tenant_sid, event_id, endpoint_id) do update
        set state = excluded.state, attempts = excluded.attempts, due_at = excluded.due_at,
            status = excluded.status, why = excluded.why
        where delivery.state <> 0");

    PUT_AUDIT(BYTEA_ARRAY, INT8_ARRAY, TEXT_ARRAY, TEXT_ARRAY, TEXT_ARRAY, TEXT_ARRAY, TEXT_ARRAY) = "
        insert into audit (audit_id, at, tenant_sid, actor, request, what, subject)
        select a.audit_id, a.at, a.tenant_sid, a.actor, a.request, a.what, a.subject
        from unnest($1, $2, $3, $4, $5, $6, $7) as a (audit_id, at, tenant_sid, actor, request, what, subject)
        order by a.audit_id
        on conflict (audit_id) do nothing";

    // What is written alone.

    /// Moves the end of the audit's chain, if it is still where the seal begins.
    MOVE_AUDIT_HEAD(INT8, BYTEA, INT8, BYTEA) = "
        update audit_head
        set place = $1, hash = $2
        where place = $3
            and hash = $4
        returning 1";

    SEAL_AUDIT(BYTEA_ARRAY, INT8_ARRAY, BYTEA_ARRAY) = "
        update audit
        set place = s.place, hash = s.hash
        from unnest($1, $2, $3) as s (audit_id, place, hash)
        where audit.audit_id = s.audit_id
            and audit.place is null
        returning 1";

    REDACT_ALLOCATIONS(
        TEXT_ARRAY, BYTEA_ARRAY, TEXT_ARRAY, INT8_ARRAY,
        TEXT_ARRAY, TEXT_ARRAY, TEXT_ARRAY, TEXT_ARRAY,
        TEXT_ARRAY, TEXT_ARRAY, TEXT_ARRAY, TEXT_ARRAY,
        INT2_ARRAY, TEXT_ARRAY, BOOL_ARRAY, INT8_ARRAY,
        INT8_ARRAY, INT8_ARRAY, INT8_ARRAY, INT8_ARRAY, INT2_ARRAY,
        INT8_ARRAY
    ) = concat!("
        update allocation as old
        set connection_id = a.connection_id, virtual_number = a.virtual_number,
            a_numbers = a.a_numbers, a_pins = a.a_pins, a_learned = a.a_learned, a_tag = a.a_tag,
            b_numbers = a.b_numbers, b_pins = a.b_pins, b_learned = a.b_learned, b_tag = a.b_tag,
            usage = a.usage, flow = a.flow, exclusive = a.exclusive, created_at = a.created_at,
            expires_at = a.expires_at, cooling = a.cooling,
            ended_at = a.ended_at, cooling_until = a.cooling_until, ending = a.ending
        from ", allocation_arrays!(), "
        where old.tenant_sid = a.tenant_sid
            and old.allocation_id = a.allocation_id
            and old.version = a.version");

    REDACT_CALL(TEXT, BYTEA, INT8, TEXT) = "
        update call
        set document = $4
        where tenant_sid = $1
            and call_id = $2
            and version = $3";

    REDACT_EVENT(TEXT, BYTEA, TEXT) = "
        update event
        set document = $3
        where tenant_sid = $1
            and event_id = $2";

    /// Of allocations in which the number stands no more.
    FORGET_CLAIMS(INT8, TEXT) = "
        delete from claim
        where kind = 0
            and key = $1
            and not exists (
                select 1
                from virtual_number as v
                join allocation as a
                    on a.tenant_sid = v.tenant_sid
                    and a.allocation_id = claim.allocation_id
                where v.number = claim.virtual_number
                    and strpos(
                        ',' || a.a_numbers || ',' || a.a_learned || ',' || a.b_numbers || ',' || a.b_learned || ',',
                        $2)
                        > 0)";

    /// Goes through all of a day: an answer is kept as the bytes that were sent.
    FORGET_RECEIPTS(BYTEA) = "
        delete from receipt
        where position($1 in body) > 0";

    // Nodes, and what is owed: each is one statement, which may be sent again.

    /// By the engine's clock: a node whose own runs wrong is judged like all others.
    BEAT(BYTEA, INT8) = "
        insert into node (node_id, steady_since, seen_at)
        select $1, c.now, c.now
        from (select cast(extract(epoch from clock_timestamp()) * 1000000 as bigint) as now) as c
        on conflict (node_id) do update
        set steady_since = case
                when node.seen_at < excluded.seen_at - $2 then excluded.seen_at
                else node.steady_since
            end,
            seen_at = excluded.seen_at";

    NODES(INT8) = "
        select node_id
        from node
        where seen_at >= cast(extract(epoch from clock_timestamp()) * 1000000 as bigint) - $1";

    ORPHANED_CALLS(BYTEA, INT8, INT8) = "
        select c.document
        from call as c
        where c.ended_at is null
            and c.node_id <> $1
            and not exists (
                select 1
                from node as n
                where n.node_id = c.node_id
                    and n.seen_at >= cast(extract(epoch from clock_timestamp()) * 1000000 as bigint) - $2)
            and exists (
                select 1
                from node as judge
                where judge.node_id = $1
                    and judge.seen_at >= cast(extract(epoch from clock_timestamp()) * 1000000 as bigint) - $2
                    and judge.steady_since <= cast(extract(epoch from clock_timestamp()) * 1000000 as bigint) - $2)
        limit $3";

    HANGUPS(BYTEA) = "
        select call_id
        from call
        where ended_at is null
            and node_id = $1
            and hangup";

    /// Goes from one endpoint to the next by the index, however much each is owed.
    ENDPOINTS_DUE(INT8, INT8) = "
        with recursive owed as (
            (select tenant_sid, endpoint_id
            from delivery
            where state = 0
            order by tenant_sid, endpoint_id
            limit 1)
            union all
            select next.tenant_sid, next.endpoint_id
            from owed
            cross join lateral (
                select d.tenant_sid, d.endpoint_id
                from delivery as d
                where d.state = 0
                    and (d.tenant_sid, d.endpoint_id) > (owed.tenant_sid, owed.endpoint_id)
                order by d.tenant_sid, d.endpoint_id
                limit 1) as next)
        select owed.tenant_sid, owed.endpoint_id
        from owed
        where exists (
            select 1
            from delivery as d
            where d.state = 0
                and d.tenant_sid = owed.tenant_sid
                and d.endpoint_id = owed.endpoint_id
                and d.due_at <= $1)
        limit $2";

    /// What another node is leasing in this moment is passed over.
    LEASE_DELIVERIES(TEXT_ARRAY, TEXT_ARRAY, INT8_ARRAY, INT8, INT8) = concat!("
        with due as (
            select d.tenant_sid, d.event_id, d.endpoint_id
            from unnest($1, $2, $3) as w (tenant_sid, endpoint_id, room)
            cross join lateral (
                select d.tenant_sid, d.event_id, d.endpoint_id
                from delivery as d
                where d.state = 0
                    and d.tenant_sid = w.tenant_sid
                    and d.endpoint_id = w.endpoint_id
                    and d.due_at <= $4
                    and not exists (
                        select 1
                        from delivery as earlier
                        where earlier.state = 0
                            and earlier.tenant_sid = d.tenant_sid
                            and earlier.endpoint_id = d.endpoint_id
                            and earlier.line = d.line
                            and earlier.sequence < d.sequence)
                order by d.due_at
                limit w.room
                for update skip locked) as d),
        leased as (
            update delivery as d
            set due_at = $5
            from due
            where d.tenant_sid = due.tenant_sid
                and d.event_id = due.event_id
                and d.endpoint_id = due.endpoint_id
                and d.state = 0
                and d.due_at <= $4
            returning d.tenant_sid, d.event_id, d.endpoint_id, d.attempts)
        select leased.endpoint_id, leased.attempts, ", event_columns!(), "
        from leased
        join event as e
            on e.tenant_sid = leased.tenant_sid
            and e.event_id = leased.event_id");

    /// Only while the lease stands.
    SETTLE_DELIVERIES(
        TEXT_ARRAY, BYTEA_ARRAY, TEXT_ARRAY, INT8_ARRAY, INT2_ARRAY, INT8_ARRAY, INT8_ARRAY, INT2_ARRAY, TEXT_ARRAY
    ) = "
        update delivery as d
        set state = s.state, attempts = d.attempts + s.tried, due_at = s.due_at,
            status = coalesce(s.status, d.status), why = s.why
        from unnest($1, $2, $3, $4, $5, $6, $7, $8, $9)
            as s (tenant_sid, event_id, endpoint_id, leased_until, state, tried, due_at, status, why)
        where d.tenant_sid = s.tenant_sid
            and d.event_id = s.event_id
            and d.endpoint_id = s.endpoint_id
            and d.state = 0
            and d.due_at = s.leased_until";

    // What happened, to be read.

    CALL(TEXT, BYTEA) = "
        select document
        from call
        where tenant_sid = $1
            and call_id = $2";

    CALLS(TEXT, BYTEA, BYTEA, INT8, INT8, BYTEA, TEXT, INT8, TEXT, INT8) = "
        select document
        from call
        where tenant_sid = $1
            and call_id >= $2
            and call_id < $3
            and started_at >= $4
            and started_at < $5
            and ($6 is null or allocation_id = $6)
            and ($7 is null or strpos(document, $7) > 0)
            and ($8 is null or virtual_number = $8)
            and ($9 is null or coalesce(ending, 'open') = $9)
        order by call_id desc
        limit $10";

    EVENT(TEXT, BYTEA) = concat!("
        select ", event_columns!(), "
        from event as e
        where e.tenant_sid = $1
            and e.event_id = $2");

    EVENTS_OLDEST(TEXT, BYTEA, BYTEA, INT8, INT8, TEXT, BYTEA, BYTEA, INT8) = concat!("
        select ", event_columns!(), "
        from event as e
        where e.tenant_sid = $1
            and e.event_id > $2
            and e.event_id < $3
            and e.at >= $4
            and e.at < $5
            and ($6 is null or e.kind = $6)
            and ($7 is null or e.allocation_id = $7)
            and ($8 is null or e.call_id = $8)
        order by e.event_id
        limit $9");

    EVENTS_NEWEST(TEXT, BYTEA, BYTEA, INT8, INT8, TEXT, BYTEA, BYTEA, INT8) = concat!("
        select ", event_columns!(), "
        from event as e
        where e.tenant_sid = $1
            and e.event_id > $2
            and e.event_id < $3
            and e.at >= $4
            and e.at < $5
            and ($6 is null or e.kind = $6)
            and ($7 is null or e.allocation_id = $7)
            and ($8 is null or e.call_id = $8)
        order by e.event_id desc
        limit $9");

    DELIVERIES(TEXT, BYTEA, TEXT, TEXT, BYTEA, INT2, BYTEA, BYTEA, TEXT, INT8) = "
        select event_id, endpoint_id, line, sequence, kind, state, attempts, due_at, status, why
        from delivery
        where tenant_sid = $1
            and (event_id, endpoint_id) < ($2, $3)
            and ($4 is null or endpoint_id = $4)
            and ($5 is null or event_id = $5)
            and ($6 is null or state = $6)
            and event_id >= $7
            and event_id < $8
            and ($9 is null or kind = $9)
        order by event_id desc, endpoint_id desc
        limit $10";

    UNSEALED_AUDIT(INT8) = "
        select audit_id, at, tenant_sid, actor, request, what, subject
        from audit
        where place is null
        order by audit_id
        limit $1";

    AUDIT_HEAD() = "
        select place, hash
        from audit_head";

    AUDIT_AFTER(INT8, INT8) = "
        select place, hash, audit_id, at, tenant_sid, actor, request, what, subject
        from audit
        where place > $1
        order by place
        limit $2";

    ALLOCATIONS_WITH(TEXT, BYTEA, TEXT, INT8) = concat!("
        select ", allocation_columns!(), "
        from allocation as a
        where (a.tenant_sid, a.allocation_id) > ($1, $2)
            and strpos(',' || a.a_numbers || ',' || a.a_learned || ',' || a.b_numbers || ',' || a.b_learned || ',', $3)
                > 0
        order by a.tenant_sid, a.allocation_id
        limit $4");

    CALLS_WITH(TEXT, BYTEA, TEXT, INT8) = "
        select document
        from call
        where (tenant_sid, call_id) > ($1, $2)
            and strpos(document, $3) > 0
        order by tenant_sid, call_id
        limit $4";

    EVENTS_WITH(TEXT, BYTEA, TEXT, INT8) = concat!("
        select ", event_columns!(), "
        from event as e
        where (e.tenant_sid, e.event_id) > ($1, $2)
            and strpos(e.document, $3) > 0
        order by e.tenant_sid, e.event_id
        limit $4");

    // Endpoints.

    ENDPOINTS() = "
        select tenant_sid, endpoint_id, dialect, url, kinds, masked, secret, old_secret, old_secret_until,
            created_at, disabled_at, disabled_why
        from endpoint
        order by tenant_sid, endpoint_id";

    ENDPOINT(TEXT, TEXT) = "
        select endpoint_id, dialect, url, kinds, masked, secret, old_secret, old_secret_until,
            created_at, disabled_at, disabled_why
        from endpoint
        where tenant_sid = $1
            and endpoint_id = $2";

    /// How many endpoints of its own a tenant has beside this one.
    COUNT_OTHER_ENDPOINTS(TEXT, TEXT) = "
        select count(*)
        from endpoint
        where tenant_sid = $1
            and endpoint_id <> $2
            and dialect = 1";

    PUT_ENDPOINT(TEXT, TEXT, INT2, TEXT, TEXT, BOOL, BYTEA, BYTEA, INT8, INT8, INT8, TEXT) = "
        insert into endpoint (
            tenant_sid, endpoint_id, dialect, url, kinds, masked, secret, old_secret, old_secret_until,
            created_at, disabled_at, disabled_why)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
        on conflict (tenant_sid, endpoint_id) do update
        set url = excluded.url, kinds = excluded.kinds, masked = excluded.masked,
            secret = excluded.secret, old_secret = excluded.old_secret,
            old_secret_until = excluded.old_secret_until,
            disabled_at = excluded.disabled_at, disabled_why = excluded.disabled_why";

    SET_ENDPOINT_DISABLED(TEXT, TEXT, INT8, TEXT) = "
        update endpoint
        set disabled_at = $3, disabled_why = $4
        where tenant_sid = $1
            and endpoint_id = $2
        returning 1";

    REMOVE_ENDPOINT(TEXT, TEXT) = "
        delete from endpoint
        where tenant_sid = $1
            and endpoint_id = $2
        returning 1";

    GIVE_UP_DELIVERIES(TEXT, TEXT, INT8) = "
        update delivery
        set state = 2, due_at = $3, why = 'the endpoint was removed'
        where tenant_sid = $1
            and endpoint_id = $2
            and state = 0";

    // Trunks.

    TRUNKS() = "
        select trunk_name, setting, value
        from trunk
        order by trunk_name, setting";

    SAY_OF_TRUNK(TEXT, TEXT, TEXT) = "
        insert into trunk (trunk_name, setting, value)
        values ($1, $2, $3)";

    REMOVE_TRUNK(TEXT) = "
        delete from trunk
        where trunk_name = $1
        returning 1";

    // Tidying of what happened.

    TIDY_CALLS(TEXT, BYTEA, INT8) = "
        delete from call
        where tenant_sid = $1
            and call_id in (
                select call_id
                from call
                where tenant_sid = $1
                    and call_id < $2
                    and ended_at is not null
                order by call_id
                limit $3)
        returning 1";

    /// With their deliveries, unless one is owed still.
    TIDY_EVENTS(TEXT, BYTEA, INT8) = "
        with old as (
            select e.tenant_sid, e.event_id
            from event as e
            where e.tenant_sid = $1
                and e.event_id < $2
                and not exists (
                    select 1
                    from delivery as d
                    where d.tenant_sid = e.tenant_sid
                        and d.event_id = e.event_id
                        and d.state = 0)
            order by e.event_id
            limit $3),
        settled as (
            delete from delivery as d
            using old
            where d.tenant_sid = old.tenant_sid
                and d.event_id = old.event_id)
        delete from event as e
        using old
        where e.tenant_sid = old.tenant_sid
            and e.event_id = old.event_id
        returning 1";

    /// The chain is shortened at its beginning alone: up to the first entry that is to stay.
    TIDY_AUDIT(INT8, INT8) = "
        with oldest as (
            select place, at
            from audit
            where place > 0
            order by place
            limit $2)
        delete from audit
        where place < (
                select coalesce(
                    (select min(place) from oldest where at >= $1),
                    (select max(place) + 1 from oldest)))
        returning 1";

    /// Nodes that ended long ago and left no call open.
    TIDY_NODES(INT8) = "
        delete from node as n
        where n.seen_at < $1
            and not exists (
                select 1
                from call as c
                where c.node_id = n.node_id
                    and c.ended_at is null)";

    /// A row that refers to one that is not there, in an engine that checks references later or not at all.
    ORPHANS() = "
        select 'allocation'
        where exists (
            select 1
            from allocation as a
            where not exists (
                select 1
                from tenant as t
                where t.tenant_sid = a.tenant_sid))";
}

#[cfg(test)]
#[path = "../../tests/it/cluster.rs"]
#[expect(dead_code, reason = "the suite of the contract uses the rest")]
pub(super) mod cluster;

#[cfg(test)]
pub(super) mod tests {
    use tokio::runtime::Runtime;

    use super::cluster::{self, Cluster};
    use super::*;
    use crate::postgres::reader::Reader;
    use crate::postgres::session::Preparing;
    use crate::postgres::{Url, migrate};

    /// The PostgreSQL that all tests share, with a template that has our tables.
    pub(in crate::postgres) fn shared_cluster() -> Cluster {
        cluster::shared(|template| {
            let url: Url = template.parse().unwrap();
            std::thread::spawn(move || Runtime::new().unwrap().block_on(migrate(&url)).unwrap())
                .join()
                .unwrap();
        })
    }

    #[tokio::test]
    async fn every_statement_is_understood_by_the_engine() {
        let cluster = shared_cluster();
        let url: Url = cluster.url(&cluster.fresh_database()).parse().unwrap();
        let session = Reader::new(url.pool().unwrap(), Preparing::Once).session().await.unwrap();

        for (name, sql) in ALL {
            if let Err(error) = session.prepare(sql).await {
                panic!("{name}: {error:?}");
            }
        }
    }
}
