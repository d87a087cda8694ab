-- For `in` with three values SQLite makes a table in memory, looks into it and drops it, for each row that is written.
-- Claims and deliveries are written most of all; their checks compare instead. Otherwise the tables are what they were.

create table claim_anew (
    -- 0 a party's number, 1 a pin, 2 the virtual number as a whole.
    kind smallint not null check (kind between 0 and 2),
    -- The number's or the pin's digits; 0 for the whole.
    key bigint not null,
    virtual_number bigint not null,
    allocation_id blob not null,
    held_until bigint not null,
    primary key (kind, key, virtual_number)
) without rowid;

insert into claim_anew (kind, key, virtual_number, allocation_id, held_until)
select kind, key, virtual_number, allocation_id, held_until
from claim;

drop table claim;

alter table claim_anew rename to claim;

-- Whether pins are held on a number, and which.
create index claim_of_pins on claim (virtual_number, held_until) where kind = 1;

create table delivery_anew (
    tenant_sid text not null,
    event_id blob not null,
    endpoint_id text not null,
    line blob not null,
    sequence bigint not null,
    kind text not null,
    -- 0 pending, 1 delivered, 2 dead.
    state smallint not null check (state between 0 and 2),
    attempts bigint not null,
    -- While it is pending: when it is to be tried, or until when it is leased. Then: when it was settled.
    due_at bigint not null,
    status smallint,
    why text,
    primary key (tenant_sid, event_id, endpoint_id)
) without rowid;

insert into delivery_anew (
    tenant_sid, event_id, endpoint_id, line, sequence, kind, state, attempts, due_at, status, why)
select tenant_sid, event_id, endpoint_id, line, sequence, kind, state, attempts, due_at, status, why
from delivery;

drop table delivery;

alter table delivery_anew rename to delivery;

-- What is due, endpoint by endpoint, so that one that hangs holds up no other.
create index delivery_due on delivery (tenant_sid, endpoint_id, due_at) where state = 0;

-- What of a line is to be told before what.
create index delivery_in_line on delivery (tenant_sid, endpoint_id, line, sequence) where state = 0;
