-- The first schema: tenants with their keys, settings and pools; allocations and the claims that they hold.
--
-- Numbers and pins are their digits as an integer. Times are microseconds since 1970 in UTC, lengths are
-- microseconds, ids are the 16 bytes of a UUIDv7 and so sort by the time of making. Texts by which anything is found
-- or ordered are compared byte by byte, whatever the database's own language is.

create table tenant (
    tenant_sid text collate "C" not null primary key
);

create table api_key (
    api_key_id text collate "C" not null primary key,
    tenant_sid text collate "C" not null references tenant (tenant_sid),
    -- SHA-256 of the token, which is kept nowhere.
    token_hash bytea not null,
    created_at bigint not null,
    revoked_at bigint
);

create index api_key_of_tenant on api_key (tenant_sid);

create table setting (
    tenant_sid text collate "C" not null references tenant (tenant_sid),
    name text collate "C" not null,
    value text not null,
    primary key (tenant_sid, name)
);

create table virtual_number (
    number bigint not null primary key,
    tenant_sid text collate "C" not null references tenant (tenant_sid),
    region text,
    number_type text,
    flow text,
    -- 1 open, 2 draining.
    state smallint not null check (state in (1, 2))
);

create index virtual_number_of_tenant on virtual_number (tenant_sid);

create table allocation (
    tenant_sid text collate "C" not null references tenant (tenant_sid),
    allocation_id bytea not null,
    connection_id text collate "C" not null,
    virtual_number bigint not null,
    -- The two sides. Lists are digits separated by commas, and empty when there is nothing in them.
    a_numbers text not null,
    a_pins text not null,
    a_learned text not null,
    a_tag text,
    b_numbers text not null,
    b_pins text not null,
    b_learned text not null,
    b_tag text,
    -- 1 one-way, 2 two-way.
    usage smallint not null check (usage in (1, 2)),
    flow text,
    exclusive boolean not null,
    created_at bigint not null,
    -- Either lent: when it is due to end, and how long its claims stay held then.
    expires_at bigint,
    cooling bigint,
    -- Or ended: when, until when its claims are held, and how (1 expired, 2 released).
    ended_at bigint,
    cooling_until bigint,
    ending smallint check (ending in (1, 2)),
    version bigint not null,
    primary key (tenant_sid, allocation_id),
    check ((expires_at is null) = (cooling is null)),
    check ((ended_at is null) = (cooling_until is null)),
    check ((ended_at is null) = (ending is null)),
    check ((expires_at is null) <> (ended_at is null))
);

-- What is lent, in the order in which it is due to end, and how much of it each number carries.
create index allocation_lent on allocation (expires_at, virtual_number) where ended_at is null;

-- The law of the product: a key on a virtual number is held by at most one allocation. A claim whose time has come
-- stays, free to be taken over, and tells how long ago the key was in use, until it is tidied away.
create table claim (
    -- 0 a party's number, 1 a pin, 2 the virtual number as a whole.
    kind smallint not null check (kind in (0, 1, 2)),
    -- The number's or the pin's digits; 0 for the whole.
    key bigint not null,
    virtual_number bigint not null,
    allocation_id bytea not null,
    held_until bigint not null,
    primary key (kind, key, virtual_number)
);

-- Whether pins are held on a number, and which.
create index claim_of_pins on claim (virtual_number, held_until) where kind = 1;

-- One row for each number that had pins: changes that count a number's pins lock it, and so come one after the other.
create table pin_room (
    virtual_number bigint not null primary key,
    changes bigint not null
);

-- The same law for the names that a tenant gives to its allocations.
create table connection_claim (
    tenant_sid text collate "C" not null references tenant (tenant_sid),
    connection_id text collate "C" not null,
    allocation_id bytea not null,
    held_until bigint not null,
    primary key (tenant_sid, connection_id)
);

-- Answers kept for repeated requests.
create table receipt (
    tenant_sid text collate "C" not null references tenant (tenant_sid),
    scope text collate "C" not null,
    key text collate "C" not null,
    fingerprint bytea not null,
    status smallint not null,
    body bytea not null,
    made_at bigint not null,
    primary key (tenant_sid, scope, key)
);

create index receipt_by_age on receipt (made_at);

-- One row: moved by every change to a tenant, key, setting or pool, so that nodes know when to read them anew.
create table revision (
    only_one smallint not null primary key check (only_one = 1),
    number bigint not null
);

insert into revision (only_one, number) values (1, 0);

-- One row for each way by which a node writes: the last batch that it committed, by which it finds out what became
-- of one whose answer was lost; and the latest moment that any change of its carried, which no clock may run behind.
create table writer (
    writer_id bytea not null primary key,
    batch bigint not null,
    latest bigint not null
);
