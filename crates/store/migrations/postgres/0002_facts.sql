-- What happened: calls, events, what is owed of them to whom, and the audit.
--
-- Of a call and of an event, a document (JSON) says everything; the columns beside it are what is searched for. In
-- documents a party's number stands as "<digits>", so that a number can be looked for whole.

create table call (
    tenant_sid text collate "C" not null references tenant (tenant_sid),
    -- A UUIDv7, by the time of arrival.
    call_id bytea not null,
    node_id bytea not null,
    allocation_id bytea,
    virtual_number bigint not null,
    started_at bigint not null,
    ended_at bigint,
    -- How it ended; null while it lasts.
    ending text collate "C",
    -- Whether somebody wants it hung up.
    hangup boolean not null default false,
    version bigint not null,
    document text not null,
    primary key (tenant_sid, call_id),
    check ((ended_at is null) = (ending is null))
);

create index call_open on call (node_id, tenant_sid, call_id) where ended_at is null;

create index call_of_allocation on call (tenant_sid, allocation_id, call_id) where allocation_id is not null;

-- When each node was heard last, and since when without a gap.
create table node (
    node_id bytea not null primary key,
    steady_since bigint not null,
    seen_at bigint not null
);

create table event (
    tenant_sid text collate "C" not null references tenant (tenant_sid),
    -- A UUIDv7, by the time of what happened.
    event_id bytea not null,
    kind text collate "C" not null,
    at bigint not null,
    -- What events are told in the order of, and the place in it.
    line bytea not null,
    sequence bigint not null,
    allocation_id bytea,
    call_id bytea,
    document text not null,
    primary key (tenant_sid, event_id)
);

create table endpoint (
    tenant_sid text collate "C" not null references tenant (tenant_sid),
    endpoint_id text collate "C" not null,
    -- 1 our own envelope, 2 LeadAssist's bodies.
    dialect smallint not null check (dialect in (1, 2)),
    -- Empty when the address is a setting's.
    url text not null,
    -- Names separated by commas; empty for all.
    kinds text not null,
    masked boolean not null,
    -- What deliveries are signed with, and what they were signed with before, until when.
    secret bytea,
    old_secret bytea,
    old_secret_until bigint,
    created_at bigint not null,
    disabled_at bigint,
    disabled_why text,
    primary key (tenant_sid, endpoint_id),
    check ((disabled_at is null) = (disabled_why is null)),
    check ((old_secret is null) = (old_secret_until is null))
);

create table delivery (
    tenant_sid text collate "C" not null,
    event_id bytea not null,
    endpoint_id text collate "C" not null,
    line bytea not null,
    sequence bigint not null,
    kind text collate "C" not null,
    -- 0 pending, 1 delivered, 2 dead.
    state smallint not null check (state in (0, 1, 2)),
    attempts bigint not null,
    -- While it is pending: when it is to be tried, or until when it is leased. Then: when it was settled.
    due_at bigint not null,
    status smallint,
    why text,
    primary key (tenant_sid, event_id, endpoint_id)
);

-- What is due, endpoint by endpoint, so that one that hangs holds up no other.
create index delivery_due on delivery (tenant_sid, endpoint_id, due_at) where state = 0;

-- What of a line is to be told before what.
create index delivery_in_line on delivery (tenant_sid, endpoint_id, line, sequence) where state = 0;

create table audit (
    -- A UUIDv7, by the time of the change.
    audit_id bytea not null primary key,
    at bigint not null,
    tenant_sid text collate "C",
    actor text not null,
    request text,
    what text not null,
    subject text not null,
    -- Its place in the chain and the hash up to it, once it is sealed.
    place bigint,
    hash bytea,
    check ((place is null) = (hash is null))
);

create unique index audit_chain on audit (place) where place is not null;

create index audit_unsealed on audit (audit_id) where place is null;

-- One row: the end of the chain.
create table audit_head (
    only_one smallint not null primary key check (only_one = 1),
    place bigint not null,
    hash bytea not null
);

insert into audit_head (only_one, place, hash) values (1, 0, decode(repeat('00', 32), 'hex'));
