-- The first schema: tenants with their keys, settings and pools; allocations and the claims that they hold.
--
-- Numbers and pins are their digits as an integer. Times are microseconds since 1970 in UTC, lengths are
-- microseconds, ids are the 16 bytes of a UUIDv7 and so sort by the time of making.

create table tenant (
    tenant_sid text not null primary key
) without rowid;

create table api_key (
    api_key_id text not null primary key,
    tenant_sid text not null references tenant (tenant_sid),
    -- SHA-256 of the token, which is kept nowhere.
    token_hash blob not null,
    created_at bigint not null,
    revoked_at bigint
) without rowid;

create index api_key_of_tenant on api_key (tenant_sid);

create table setting (
    tenant_sid text not null references tenant (tenant_sid),
    name text not null,
    value text not null,
    primary key (tenant_sid, name)
) without rowid;

create table virtual_number (
    number bigint not null primary key,
    tenant_sid text not null references tenant (tenant_sid),
    region text,
    number_type text,
    flow text,
    -- 1 open, 2 draining.
    state smallint not null check (state in (1, 2))
) without rowid;

create index virtual_number_of_tenant on virtual_number (tenant_sid);

create table allocation (
    tenant_sid text not null references tenant (tenant_sid),
    allocation_id blob not null,
    connection_id text not null,
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
    exclusive smallint not null check (exclusive in (0, 1)),
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
) without rowid;

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
    allocation_id blob not null,
    held_until bigint not null,
    primary key (kind, key, virtual_number)
) without rowid;

-- Whether pins are held on a number, and which.
create index claim_of_pins on claim (virtual_number, held_until) where kind = 1;

-- The same law for the names that a tenant gives to its allocations.
create table connection_claim (
    tenant_sid text not null references tenant (tenant_sid),
    connection_id text not null,
    allocation_id blob not null,
    held_until bigint not null,
    primary key (tenant_sid, connection_id)
) without rowid;

-- Answers kept for repeated requests.
create table receipt (
    tenant_sid text not null references tenant (tenant_sid),
    scope text not null,
    key text not null,
    fingerprint blob not null,
    status smallint not null,
    body blob not null,
    made_at bigint not null,
    primary key (tenant_sid, scope, key)
) without rowid;

create index receipt_by_age on receipt (made_at);

-- One row: moved by every change to a tenant, key, setting or pool, so that nodes know when to read them anew.
create table revision (
    only smallint not null primary key check (only = 1),
    number bigint not null
) without rowid;

insert into revision (only, number) values (1, 0);

-- One row: the latest moment that any change carried, which no clock may run behind.
create table moment (
    only smallint not null primary key check (only = 1),
    latest bigint not null
) without rowid;

insert into moment (only, latest) values (1, 0);
