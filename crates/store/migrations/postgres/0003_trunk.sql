-- The ways to and from carriers. What is said of a trunk is said in settings, as text, each read by one table of the
-- program; a trunk is one by its settings, of which it has at least one.

create table trunk (
    trunk_name text collate "C" not null,
    setting text collate "C" not null,
    value text not null,
    primary key (trunk_name, setting)
);
