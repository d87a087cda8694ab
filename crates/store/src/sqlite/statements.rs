//! Every statement, in one list, which a test prepares on the real engine.
//!
//! Portable to PostgreSQL but for the way in which parameters are written and the greatest of two values.

/// The columns of an allocation, in the order in which `rows` reads and writes them.
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

/// The columns of an event, in the order in which they are read.
macro_rules! event_columns {
    () => {
        "e.tenant_sid, e.event_id, e.at, e.line, e.sequence, e.kind, e.document"
    };
}

macro_rules! statements {
    ($($(#[$about:meta])* $name:ident = $sql:expr;)*) => {
        $($(#[$about])* pub(super) const $name: &str = $sql;)*

        /// All of them, by name.
        #[cfg(test)]
        const ALL: &[(&str, &str)] = &[$((stringify!($name), $name)),*];
    };
}

statements! {
    BEGIN = "begin immediate";
    BEGIN_READ = "begin deferred";
    COMMIT = "commit";
    ROLLBACK = "rollback";
    OPEN_SAVEPOINT = "savepoint change";
    CLOSE_SAVEPOINT = "release change";
    UNDO_SAVEPOINT = "rollback to change";

    /// Always writes a page, so that even a change with nothing in it is made durable.
    KEEP_MOMENT = "
        update moment
        set latest = max(latest, ?1)";

    LATEST_MOMENT = "
        select latest
        from moment";

    // Allocations.

    INSERT_ALLOCATION = "
        insert into allocation (
            tenant_sid, allocation_id, connection_id, virtual_number,
            a_numbers, a_pins, a_learned, a_tag,
            b_numbers, b_pins, b_learned, b_tag,
            usage, flow, exclusive, created_at,
            expires_at, cooling, ended_at, cooling_until, ending,
            version)
        values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22)
        on conflict (tenant_sid, allocation_id) do nothing";

    UPDATE_ALLOCATION = "
        update allocation
        set connection_id = ?3, virtual_number = ?4,
            a_numbers = ?5, a_pins = ?6, a_learned = ?7, a_tag = ?8,
            b_numbers = ?9, b_pins = ?10, b_learned = ?11, b_tag = ?12,
            usage = ?13, flow = ?14, exclusive = ?15, created_at = ?16,
            expires_at = ?17, cooling = ?18, ended_at = ?19, cooling_until = ?20, ending = ?21,
            version = ?22
        where tenant_sid = ?1
            and allocation_id = ?2
            and version = ?22 - 1";

    ALLOCATION = concat!("
        select ", allocation_columns!(), "
        from allocation as a
        where a.tenant_sid = ?1
            and a.allocation_id = ?2");

    ALLOCATION_BY_CONNECTION = concat!("
        select ", allocation_columns!(), "
        from connection_claim as c
        join allocation as a
            on a.tenant_sid = c.tenant_sid
            and a.allocation_id = c.allocation_id
        where c.tenant_sid = ?1
            and c.connection_id = ?2");

    ALLOCATIONS_BY_NUMBER = concat!("
        select ", allocation_columns!(), "
        from allocation as a
        where a.tenant_sid = ?1
            and a.allocation_id in (
                select c.allocation_id
                from claim as c
                where c.kind = 0
                    and c.key = ?2)
        order by a.allocation_id desc
        limit ?3");

    /// Ids sort by the time of making, to the millisecond; `created_at` is exact.
    LIST = concat!("
        select ", allocation_columns!(), "
        from allocation as a
        where a.tenant_sid = ?1
            and a.allocation_id >= ?2
            and a.allocation_id < ?3
            and a.created_at between ?4 and ?5
            and (?6 is null or ?6 = (a.ended_at is null and a.expires_at > ?7))
        order by a.allocation_id
        limit ?8
        offset ?9");

    COUNT_LIST = "
        select count(*)
        from allocation as a
        where a.tenant_sid = ?1
            and a.allocation_id >= ?2
            and a.allocation_id < ?3
            and a.created_at between ?4 and ?5
            and (?6 is null or ?6 = (a.ended_at is null and a.expires_at > ?7))";

    DUE = concat!("
        select ", allocation_columns!(), "
        from allocation as a
        where a.ended_at is null
            and a.expires_at <= ?1
        order by a.expires_at
        limit ?2");

    LOADS = "
        select virtual_number, count(*)
        from allocation
        where ended_at is null
        group by virtual_number";

    ALLOCATIONS_AFTER = concat!("
        select ", allocation_columns!(), "
        from allocation as a
        where (a.tenant_sid, a.allocation_id) > (?1, ?2)
        order by a.tenant_sid, a.allocation_id
        limit ?3");

    // Claims.

    /// Takes a claim that is free, or that the same allocation holds. One row changes, or another holds it.
    TAKE = "
        insert into claim (kind, key, virtual_number, allocation_id, held_until)
        values (?1, ?2, ?3, ?4, ?5)
        on conflict (kind, key, virtual_number) do update
        set allocation_id = excluded.allocation_id, held_until = excluded.held_until
        where claim.held_until <= ?6
            or claim.allocation_id = excluded.allocation_id";

    TAKE_CONNECTION = "
        insert into connection_claim (tenant_sid, connection_id, allocation_id, held_until)
        values (?1, ?2, ?3, ?4)
        on conflict (tenant_sid, connection_id) do update
        set allocation_id = excluded.allocation_id, held_until = excluded.held_until
        where connection_claim.held_until <= ?5
            or connection_claim.allocation_id = excluded.allocation_id";

    COOL = "
        update claim
        set held_until = ?5
        where kind = ?1
            and key = ?2
            and virtual_number = ?3
            and allocation_id = ?4";

    COOL_CONNECTION = "
        update connection_claim
        set held_until = ?4
        where tenant_sid = ?1
            and connection_id = ?2
            and allocation_id = ?3";

    CLAIM = "
        select kind, key, virtual_number, allocation_id, held_until
        from claim
        where kind = ?1
            and key = ?2
            and virtual_number = ?3";

    CONNECTION_CLAIM = "
        select tenant_sid, connection_id, allocation_id, held_until
        from connection_claim
        where tenant_sid = ?1
            and connection_id = ?2";

    CLAIMS_AFTER = "
        select kind, key, virtual_number, allocation_id, held_until
        from claim
        where (kind, key, virtual_number) > (?1, ?2, ?3)
        order by kind, key, virtual_number
        limit ?4";

    CONNECTION_CLAIMS_AFTER = "
        select tenant_sid, connection_id, allocation_id, held_until
        from connection_claim
        where (tenant_sid, connection_id) > (?1, ?2)
        order by tenant_sid, connection_id
        limit ?3";

    PAST_OF = "
        select key, virtual_number, allocation_id, held_until
        from claim
        where kind = 0
            and key = ?1";

    PINS_ON = "
        select key, allocation_id
        from claim
        where kind = 1
            and virtual_number = ?1
            and held_until > ?2";

    COUNT_OTHERS_PINS = "
        select count(*)
        from claim
        where kind = 1
            and virtual_number = ?1
            and held_until > ?2
            and allocation_id <> ?3";

    HOLDER_OF_PIN = concat!("
        select ", allocation_columns!(), "
        from claim as c
        join virtual_number as v
            on v.number = c.virtual_number
        join allocation as a
            on a.tenant_sid = v.tenant_sid
            and a.allocation_id = c.allocation_id
        where c.kind = 1
            and c.key = ?2
            and c.virtual_number = ?1
            and c.held_until > ?3");

    /// One row always. Who holds anything on a number is of the tenant that has it.
    CALL_FACTS = concat!("
        select
            v.tenant_sid is not null,
            exists (
                select 1
                from virtual_number as other
                where other.number = ?2),
            exists (
                select 1
                from claim as pin
                -- One that cools opens nothing, and is not asked for.
                join allocation as lent
                    on lent.tenant_sid = v.tenant_sid
                    and lent.allocation_id = pin.allocation_id
                    and lent.virtual_number = ?1
                    and lent.expires_at > ?3
                    and (lent.a_pins <> '' or lent.b_pins <> '')
                where pin.kind = 1
                    and pin.virtual_number = ?1
                    and pin.held_until > ?3),
            a.allocation_id is not null,
            ", allocation_columns!(), "
        from (select ?1 as number) as dialled
        left join virtual_number as v
            on v.number = dialled.number
        left join claim as c
            on c.kind = 0
            and c.key = ?2
            and c.virtual_number = dialled.number
            and c.held_until > ?3
        left join allocation as a
            on a.tenant_sid = v.tenant_sid
            and a.allocation_id = c.allocation_id");

    // Receipts.

    KEEP_RECEIPT = "
        insert into receipt (tenant_sid, scope, key, fingerprint, status, body, made_at)
        values (?1, ?2, ?3, ?4, ?5, ?6, ?7)
        on conflict (tenant_sid, scope, key) do nothing";

    RECEIPT = "
        select fingerprint, status, body, made_at
        from receipt
        where tenant_sid = ?1
            and scope = ?2
            and key = ?3";

    // The directory.

    REVISION = "
        select number
        from revision";

    MOVE_REVISION = "
        update revision
        set number = number + 1";

    TENANTS = "
        select tenant_sid
        from tenant
        order by tenant_sid";

    SETTINGS = "
        select name, value
        from setting
        where tenant_sid = ?1
        order by name";

    LIVE_KEYS = "
        select api_key_id, tenant_sid, token_hash, created_at, revoked_at
        from api_key
        where revoked_at is null
        order by api_key_id";

    NUMBERS = "
        select number, region, number_type, flow, state
        from virtual_number
        where tenant_sid = ?1
        order by number";

    /// Whose a number is, and its state.
    NUMBER = "
        select tenant_sid, state
        from virtual_number
        where number = ?1";

    TENANT_EXISTS = "
        select 1
        from tenant
        where tenant_sid = ?1";

    ADD_TENANT = "
        insert into tenant (tenant_sid)
        values (?1)
        on conflict (tenant_sid) do nothing";

    TRUNKS = "
        select trunk_name, setting, value
        from trunk
        order by trunk_name, setting";

    SAY_OF_TRUNK = "
        insert into trunk (trunk_name, setting, value)
        values (?1, ?2, ?3)";

    REMOVE_TRUNK = "
        delete from trunk
        where trunk_name = ?1";

    SET_SETTING = "
        insert into setting (tenant_sid, name, value)
        values (?1, ?2, ?3)
        on conflict (tenant_sid, name) do update
        set value = excluded.value";

    COUNT_LIVE_KEYS = "
        select count(*)
        from api_key
        where tenant_sid = ?1
            and revoked_at is null";

    ADD_KEY = "
        insert into api_key (api_key_id, tenant_sid, token_hash, created_at, revoked_at)
        values (?1, ?2, ?3, ?4, ?5)";

    REVOKE_KEY = "
        update api_key
        set revoked_at = ?3
        where api_key_id = ?2
            and tenant_sid = ?1
            and revoked_at is null";

    PUT_NUMBER = "
        insert into virtual_number (number, tenant_sid, region, number_type, flow, state)
        values (?1, ?2, ?3, ?4, ?5, ?6)
        on conflict (number) do update
        set region = excluded.region, number_type = excluded.number_type, flow = excluded.flow, state = excluded.state
        where virtual_number.tenant_sid = excluded.tenant_sid";

    SET_LENDING = "
        update virtual_number
        set state = ?3
        where number = ?2
            and tenant_sid = ?1";

    REMOVE_NUMBER = "
        delete from virtual_number
        where number = ?2
            and tenant_sid = ?1";

    /// Goes through all claims: no index serves it, because only the end of a number asks.
    NUMBERS_HELD = "
        select distinct virtual_number
        from claim
        where held_until > ?1";

    ENDPOINTS = "
        select endpoint_id, dialect, url, kinds, masked, secret, old_secret, old_secret_until,
            created_at, disabled_at, disabled_why
        from endpoint
        where tenant_sid = ?1
        order by endpoint_id";

    /// How many endpoints of its own a tenant has beside this one.
    COUNT_OTHER_ENDPOINTS = "
        select count(*)
        from endpoint
        where tenant_sid = ?1
            and endpoint_id <> ?2
            and dialect = 1";

    PUT_ENDPOINT = "
        insert into endpoint (
            tenant_sid, endpoint_id, dialect, url, kinds, masked, secret, old_secret, old_secret_until,
            created_at, disabled_at, disabled_why)
        values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
        on conflict (tenant_sid, endpoint_id) do update
        set url = excluded.url, kinds = excluded.kinds, masked = excluded.masked,
            secret = excluded.secret, old_secret = excluded.old_secret,
            old_secret_until = excluded.old_secret_until,
            disabled_at = excluded.disabled_at, disabled_why = excluded.disabled_why";

    SET_ENDPOINT_DISABLED = "
        update endpoint
        set disabled_at = ?3, disabled_why = ?4
        where tenant_sid = ?1
            and endpoint_id = ?2";

    REMOVE_ENDPOINT = "
        delete from endpoint
        where tenant_sid = ?1
            and endpoint_id = ?2";

    GIVE_UP_DELIVERIES = "
        update delivery
        set state = 2, due_at = ?3, why = 'the endpoint was removed'
        where tenant_sid = ?1
            and endpoint_id = ?2
            and state = 0";

    // Calls.

    /// The next form of a call: not one that is there already, and none after its end.
    PUT_CALL = "
        insert into call (
            tenant_sid, call_id, node_id, allocation_id, virtual_number,
            started_at, ended_at, ending, version, document)
        values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
        on conflict (tenant_sid, call_id) do update
        set node_id = excluded.node_id, allocation_id = excluded.allocation_id,
            ended_at = excluded.ended_at, ending = excluded.ending,
            version = excluded.version, document = excluded.document
        where call.version < excluded.version
            and call.ended_at is null";

    REQUEST_HANGUP = "
        update call
        set hangup = 1
        where tenant_sid = ?1
            and call_id = ?2
            and ended_at is null";

    CALL = "
        select document
        from call
        where tenant_sid = ?1
            and call_id = ?2";

    CALLS = "
        select document
        from call
        where tenant_sid = ?1
            and call_id >= ?2
            and call_id < ?3
            and started_at >= ?4
            and started_at < ?5
            and (?6 is null or allocation_id = ?6)
            and (?7 is null or instr(document, ?7) > 0)
            and (?8 is null or virtual_number = ?8)
            and (?9 is null or coalesce(ending, 'open') = ?9)
        order by call_id desc
        limit ?10";

    BEAT = "
        insert into node (node_id, steady_since, seen_at)
        values (?1, ?2, ?2)
        on conflict (node_id) do update
        set steady_since = case when node.seen_at < ?3 then excluded.seen_at else node.steady_since end,
            seen_at = excluded.seen_at";

    ORPHANED_CALLS = "
        select document
        from call
        where ended_at is null
            and node_id <> ?1
        limit ?2";

    HANGUPS = "
        select call_id
        from call
        where ended_at is null
            and node_id = ?1
            and hangup = 1";

    // Events and their deliveries.

    PUT_EVENT = "
        insert into event (
            tenant_sid, event_id, kind, at, line, sequence, allocation_id, call_id, document)
        values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
        on conflict (tenant_sid, event_id) do nothing";

    EVENT = concat!("
        select ", event_columns!(), "
        from event as e
        where e.tenant_sid = ?1
            and e.event_id = ?2");

    EVENTS_OLDEST = concat!("
        select ", event_columns!(), "
        from event as e
        where e.tenant_sid = ?1
            and e.event_id > ?2
            and e.event_id < ?3
            and e.at >= ?4
            and e.at < ?5
            and (?6 is null or e.kind = ?6)
            and (?7 is null or e.allocation_id = ?7)
            and (?8 is null or e.call_id = ?8)
        order by e.event_id
        limit ?9");

    EVENTS_NEWEST = concat!("
        select ", event_columns!(), "
        from event as e
        where e.tenant_sid = ?1
            and e.event_id > ?2
            and e.event_id < ?3
            and e.at >= ?4
            and e.at < ?5
            and (?6 is null or e.kind = ?6)
            and (?7 is null or e.allocation_id = ?7)
            and (?8 is null or e.call_id = ?8)
        order by e.event_id desc
        limit ?9");

    OWE_DELIVERY = "
        insert into delivery (
            tenant_sid, event_id, endpoint_id, line, sequence, kind, state, attempts, due_at, status, why)
        values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
        on conflict (tenant_sid, event_id, endpoint_id) do nothing";

    OWE_DELIVERY_AGAIN = "
        insert into delivery (
            tenant_sid, event_id, endpoint_id, line, sequence, kind, state, attempts, due_at, status, why)
        values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
        on conflict (tenant_sid, event_id, endpoint_id) do update
        set state = excluded.state, attempts = excluded.attempts, due_at = excluded.due_at,
            status = excluded.status, why = excluded.why
        where delivery.state <> 0";

    DELIVERIES = "
        select event_id, endpoint_id, line, sequence, kind, state, attempts, due_at, status, why
        from delivery
        where tenant_sid = ?1
            and (event_id, endpoint_id) < (?2, ?3)
            and (?4 is null or endpoint_id = ?4)
            and (?5 is null or event_id = ?5)
            and (?6 is null or state = ?6)
            and event_id >= ?7
            and event_id < ?8
            and (?9 is null or kind = ?9)
        order by event_id desc, endpoint_id desc
        limit ?10";

    /// The next endpoint of a tenant that something is owed to, and whether that is due. The bounds stand apart: for
    /// `(tenant_sid, endpoint_id) > (?1, ?2)` the engine goes through all that is owed to that endpoint.
    NEXT_ENDPOINT = "
        select tenant_sid, endpoint_id, due_at <= ?3
        from delivery
        where state = 0
            and tenant_sid = ?1
            and endpoint_id > ?2
        order by endpoint_id, due_at
        limit 1";

    /// The same of the tenants that come after.
    NEXT_TENANTS_ENDPOINT = "
        select tenant_sid, endpoint_id, due_at <= ?2
        from delivery
        where state = 0
            and tenant_sid > ?1
        order by tenant_sid, endpoint_id, due_at
        limit 1";

    /// The lines of what is due, some of them several times, each with the first that is owed of it.
    DUE_LINES = "
        select due.line, head.event_id, head.attempts, head.due_at
        from delivery as due
        cross join delivery as head
        where due.state = 0
            and due.tenant_sid = ?1
            and due.endpoint_id = ?2
            and due.due_at <= ?3
            and head.tenant_sid = ?1
            and head.endpoint_id = ?2
            and head.event_id = (
                select event_id
                from delivery as first
                where first.state = 0
                    and first.tenant_sid = ?1
                    and first.endpoint_id = ?2
                    and first.line = due.line
                order by first.sequence
                limit 1)
        order by due.due_at
        limit ?4";

    /// What is due waits until the first of its line is.
    PUT_OFF_LINE = "
        update delivery
        set due_at = ?5
        where state = 0
            and tenant_sid = ?1
            and endpoint_id = ?2
            and line = ?3
            and due_at <= ?4";

    /// The next of a line is due once the one before it is settled; unless it was tried itself, and has its own time.
    CALL_NEXT_OF_LINE = "
        update delivery
        set due_at = ?4
        where tenant_sid = ?1
            and endpoint_id = ?2
            and state = 0
            and attempts = 0
            and due_at > ?4
            and event_id = (
                select event_id
                from delivery
                where state = 0
                    and tenant_sid = ?1
                    and endpoint_id = ?2
                    and line = ?3
                order by sequence
                limit 1)";

    /// Unless it has been leased meanwhile.
    LEASE_DELIVERY = "
        update delivery
        set due_at = ?4
        where tenant_sid = ?1
            and event_id = ?2
            and endpoint_id = ?3
            and due_at <= ?5";

    /// Only while the lease stands.
    SETTLE_DELIVERY = "
        update delivery
        set state = ?5, attempts = attempts + ?6, due_at = ?7,
            status = coalesce(?8, status), why = ?9
        where tenant_sid = ?1
            and event_id = ?2
            and endpoint_id = ?3
            and state = 0
            and due_at = ?4
        returning line";

    // The audit.

    PUT_AUDIT = "
        insert into audit (audit_id, at, tenant_sid, actor, request, what, subject)
        values (?1, ?2, ?3, ?4, ?5, ?6, ?7)
        on conflict (audit_id) do nothing";

    UNSEALED_AUDIT = "
        select audit_id, at, tenant_sid, actor, request, what, subject
        from audit
        where place is null
        order by audit_id
        limit ?1";

    AUDIT_HEAD = "
        select place, hash
        from audit_head";

    AUDIT_AFTER = "
        select place, hash, audit_id, at, tenant_sid, actor, request, what, subject
        from audit
        where place > ?1
        order by place
        limit ?2";

    SEAL_AUDIT = "
        update audit
        set place = ?2, hash = ?3
        where audit_id = ?1
            and place is null";

    MOVE_AUDIT_HEAD = "
        update audit_head
        set place = ?1, hash = ?2";

    // One number.

    ALLOCATIONS_WITH = concat!("
        select ", allocation_columns!(), "
        from allocation as a
        where (a.tenant_sid, a.allocation_id) > (?1, ?2)
            and instr(',' || a.a_numbers || ',' || a.a_learned || ',' || a.b_numbers || ',' || a.b_learned || ',', ?3) > 0
        order by a.tenant_sid, a.allocation_id
        limit ?4");

    CALLS_WITH = "
        select document
        from call
        where (tenant_sid, call_id) > (?1, ?2)
            and instr(document, ?3) > 0
        order by tenant_sid, call_id
        limit ?4";

    EVENTS_WITH = concat!("
        select ", event_columns!(), "
        from event as e
        where (e.tenant_sid, e.event_id) > (?1, ?2)
            and instr(e.document, ?3) > 0
        order by e.tenant_sid, e.event_id
        limit ?4");

    REDACT_ALLOCATION = "
        update allocation
        set connection_id = ?3, virtual_number = ?4,
            a_numbers = ?5, a_pins = ?6, a_learned = ?7, a_tag = ?8,
            b_numbers = ?9, b_pins = ?10, b_learned = ?11, b_tag = ?12,
            usage = ?13, flow = ?14, exclusive = ?15, created_at = ?16,
            expires_at = ?17, cooling = ?18, ended_at = ?19, cooling_until = ?20, ending = ?21
        where tenant_sid = ?1
            and allocation_id = ?2
            and version = ?22";

    REDACT_CALL = "
        update call
        set document = ?4
        where tenant_sid = ?1
            and call_id = ?2
            and version = ?3";

    REDACT_EVENT = "
        update event
        set document = ?3
        where tenant_sid = ?1
            and event_id = ?2";

    /// Of allocations in which the number stands no more.
    FORGET_CLAIMS = "
        delete from claim
        where kind = 0
            and key = ?1
            and not exists (
                select 1
                from virtual_number as v
                join allocation as a
                    on a.tenant_sid = v.tenant_sid
                    and a.allocation_id = claim.allocation_id
                where v.number = claim.virtual_number
                    and instr(',' || a.a_numbers || ',' || a.a_learned || ',' || a.b_numbers || ',' || a.b_learned || ',', ?2) > 0)";

    /// Goes through all of a day: an answer is kept as the bytes that were sent.
    FORGET_RECEIPTS = "
        delete from receipt
        where instr(cast(body as text), ?1) > 0";

    // The files.

    INTEGRITY = "pragma integrity_check(100)";
    ORPHANS = "pragma foreign_key_check";

    // Tidying. Each walks a table by its key from where the last step ended.

    CLAIM_STEP = "
        select kind, key, virtual_number
        from claim
        where (kind, key, virtual_number) > (?1, ?2, ?3)
        order by kind, key, virtual_number
        limit 1
        offset ?4";

    TIDY_CLAIMS = "
        delete from claim
        where (kind, key, virtual_number) > (?1, ?2, ?3)
            and (kind, key, virtual_number) <= (?4, ?5, ?6)
            and held_until < ?7";

    CONNECTION_STEP = "
        select tenant_sid, connection_id
        from connection_claim
        where (tenant_sid, connection_id) > (?1, ?2)
        order by tenant_sid, connection_id
        limit 1
        offset ?3";

    TIDY_CONNECTIONS = "
        delete from connection_claim
        where (tenant_sid, connection_id) > (?1, ?2)
            and (tenant_sid, connection_id) <= (?3, ?4)
            and held_until < ?5";

    ALLOCATION_STEP = "
        select tenant_sid, allocation_id
        from allocation
        where (tenant_sid, allocation_id) > (?1, ?2)
        order by tenant_sid, allocation_id
        limit 1
        offset ?3";

    TIDY_ALLOCATIONS = "
        delete from allocation
        where (tenant_sid, allocation_id) > (?1, ?2)
            and (tenant_sid, allocation_id) <= (?3, ?4)
            and cooling_until < ?5";

    TIDY_RECEIPTS = "
        delete from receipt
        where (tenant_sid, scope, key) in (
            select tenant_sid, scope, key
            from receipt
            where made_at < ?1
            order by made_at
            limit ?2)";

    TIDY_CALLS = "
        delete from call
        where tenant_sid = ?1
            and call_id in (
                select call_id
                from call
                where tenant_sid = ?1
                    and call_id < ?2
                    and ended_at is not null
                order by call_id
                limit ?3)";

    OLD_EVENTS = "
        select e.event_id
        from event as e
        where e.tenant_sid = ?1
            and e.event_id < ?2
            and not exists (
                select 1
                from delivery as d
                where d.tenant_sid = e.tenant_sid
                    and d.event_id = e.event_id
                    and d.state = 0)
        order by e.event_id
        limit ?3";

    TIDY_DELIVERIES = "
        delete from delivery
        where tenant_sid = ?1
            and event_id = ?2";

    TIDY_EVENT = "
        delete from event
        where tenant_sid = ?1
            and event_id = ?2";

    /// The chain is shortened at its beginning alone.
    OLD_AUDIT = "
        select place, at
        from audit
        where place > 0
        order by place
        limit ?1";

    TIDY_AUDIT = "
        delete from audit
        where place <= ?1";
}

#[cfg(test)]
mod tests {
    use rusqlite::{Connection, OptionalExtension, StatementStatus, params};

    use super::*;
    use crate::sqlite::migrate;

    fn database() -> Connection {
        let mut db = Connection::open_in_memory().unwrap();
        migrate::migrate(&mut db, "memory".as_ref()).unwrap();
        db
    }

    #[test]
    fn every_statement_is_understood_by_the_engine() {
        let db = database();

        for (name, sql) in ALL {
            if let Err(error) = db.prepare(sql) {
                panic!("{name}: {error}");
            }
        }
    }

    #[test]
    fn only_statements_that_must_go_through_a_whole_table_do_so() {
        const WHOLE: &[&str] =
            &["LOADS", "NUMBERS_HELD", "TENANTS", "LIVE_KEYS", "TRUNKS", "FORGET_RECEIPTS"];
        /// An index of a few rows, that stand open only for a while.
        const FEW: &[&str] = &["ORPHANED_CALLS", "UNSEALED_AUDIT"];
        const ONE_ROW: &[&str] =
            &["KEEP_MOMENT", "LATEST_MOMENT", "REVISION", "MOVE_REVISION", "AUDIT_HEAD", "MOVE_AUDIT_HEAD"];
        let db = database();

        for (name, sql) in ALL {
            let mut plan = db.prepare(&format!("explain query plan {sql}")).unwrap();
            let steps = plan.raw_query().mapped(|row| row.get::<_, String>(3)).collect::<Result<Vec<_>, _>>();
            let scans = steps.unwrap().into_iter().any(|step| {
                step.starts_with("SCAN") && step != "SCAN dialled" && step != "SCAN CONSTANT ROW"
            });
            let may_scan = WHOLE.contains(name) || FEW.contains(name) || ONE_ROW.contains(name);
            assert_eq!(scans, may_scan, "{name}");
        }
    }

    #[test]
    fn the_next_endpoint_is_found_however_much_is_owed_to_the_one_before() {
        let db = database();
        let owe = |id: u32, tenant: &str, endpoint: &str| {
            let row = params![tenant, id.to_be_bytes(), endpoint];
            db.execute("insert into delivery values (?1, ?2, ?3, ?2, 0, '', 0, 0, 0, null, null)", row)
                .unwrap();
        };
        (0..1_000).for_each(|id| owe(id, "acme", "ep_1"));
        owe(1_000, "acme", "ep_2");
        owe(1_001, "other", "ep_1");

        for (sql, after, found) in [
            (NEXT_ENDPOINT, params!["acme", "ep_1", 1], Some("ep_2")),
            (NEXT_ENDPOINT, params!["acme", "ep_2", 1], None),
            (NEXT_TENANTS_ENDPOINT, params!["acme", 1], Some("ep_1")),
        ] {
            let mut statement = db.prepare(sql).unwrap();
            let next = statement.query_one(after, |row| row.get::<_, String>(1)).optional().unwrap();
            assert_eq!(next.as_deref(), found, "{sql}");
            let steps = statement.get_status(StatementStatus::VmStep);
            assert!(steps < 100, "{steps} steps for {sql}");
        }
    }
}
