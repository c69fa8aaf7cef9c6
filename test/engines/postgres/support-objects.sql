-- Many kinds of objects that a restored database must have again.
CREATE EXTENSION IF NOT EXISTS pgcrypto;
CREATE EXTENSION IF NOT EXISTS hstore;
CREATE SCHEMA "odd schema.x";
CREATE SCHEMA app AUTHORIZATION dg_owner;
COMMENT ON SCHEMA app IS 'with ''quotes'' and "more"';

CREATE TYPE app.mood AS ENUM ('sad', 'ok', 'it''s "fine"');
CREATE TYPE app.pair AS (a int, b text);
CREATE TYPE app.span AS RANGE (subtype = float8);
CREATE DOMAIN app.positive AS int DEFAULT 1 NOT NULL CHECK (VALUE > 0);
CREATE COLLATION app.german (provider = icu, locale = 'de-u-ks-level2', deterministic = false);

CREATE FUNCTION app.twice(x int) RETURNS int LANGUAGE sql IMMUTABLE AS $$ SELECT (x * 2) $$;
CREATE FUNCTION app.thrice(x int) RETURNS int LANGUAGE sql IMMUTABLE RETURN x * 3;
CREATE PROCEDURE app.nothing() LANGUAGE plpgsql AS $$ BEGIN NULL; END $$;
CREATE AGGREGATE app.total(int) (SFUNC = int4pl, STYPE = int4, INITCOND = '0');
CREATE OPERATOR app.=== (LEFTARG = int, RIGHTARG = int, FUNCTION = int4eq);

CREATE TABLE app.people (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name varchar(40) NOT NULL COLLATE app.german,
  status varchar(10) DEFAULT 'new' CHECK (status IN ('new', 'old')),
  feeling app.mood,
  age app.positive,
  home app.pair,
  tags text[] DEFAULT ARRAY['a', 'b'],
  attributes hstore,
  doc jsonb DEFAULT '{"a": [1, 2]}',
  doubled int GENERATED ALWAYS AS (age * 2) STORED,
  born timestamptz DEFAULT now(),
  secret bytea,
  amount numeric(20, 6),
  CONSTRAINT adult CHECK (age > 17 OR home IS NULL)
);
COMMENT ON COLUMN app.people.name IS 'what they are called';
INSERT INTO app.people (name, feeling, age, home, attributes, secret, amount)
  SELECT 'Name ' || g, 'it''s "fine"', 18 + g % 50, (g, 'x' || g)::app.pair, hstore('k', g::text),
    gen_random_bytes(20), CASE WHEN g % 10 = 0 THEN 'NaN' ELSE g / 7.0 END FROM generate_series(1, 500) g;
CREATE UNIQUE INDEX people_name ON app.people (lower(name), (age + 1) DESC) WHERE status = 'new';
CREATE INDEX people_tags ON app.people USING gin (tags);
CREATE STATISTICS app.people_stat (dependencies) ON status, age FROM app.people;

CREATE TABLE app.orders (
  id serial PRIMARY KEY,
  person bigint NOT NULL REFERENCES app.people ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
  placed date NOT NULL
);
INSERT INTO app.orders (person, placed) SELECT id, date '2026-01-01' + (id % 30)::int FROM app.people;
SELECT setval('app.orders_id_seq', 100000, true);

CREATE TABLE app.events (at timestamptz NOT NULL, kind text, payload jsonb, PRIMARY KEY (at, kind)) PARTITION BY RANGE (at);
CREATE TABLE app.events_old PARTITION OF app.events FOR VALUES FROM (MINVALUE) TO ('2026-01-01');
CREATE TABLE app.events_new PARTITION OF app.events FOR VALUES FROM ('2026-01-01') TO (MAXVALUE) PARTITION BY LIST (kind);
CREATE TABLE app.events_new_a PARTITION OF app.events_new FOR VALUES IN ('a');
CREATE TABLE app.events_new_rest PARTITION OF app.events_new DEFAULT;
CREATE INDEX events_kind ON app.events (kind);
INSERT INTO app.events SELECT timestamptz '2025-12-01 00:00Z' + g * interval '1 hour', CASE g % 2 WHEN 0 THEN 'a' ELSE 'b' END, '{}'
  FROM generate_series(1, 2000) g;
CREATE TABLE app.event_notes (id int PRIMARY KEY, at timestamptz, kind text, FOREIGN KEY (at, kind) REFERENCES app.events);

CREATE TABLE "odd schema.x"."Table ""quoted"" ünïcode" ("a b" int, "select" text);
INSERT INTO "odd schema.x"."Table ""quoted"" ünïcode" VALUES (1, E'tab\tnew\nline\\ \\N'), (NULL, ''), (2, NULL);
CREATE TABLE public.parent (a int);
CREATE TABLE public.child (b text) INHERITS (public.parent);
INSERT INTO public.parent VALUES (1), (2);
INSERT INTO public.child VALUES (3, 'x');
CREATE UNLOGGED TABLE public.fast (a int);
INSERT INTO public.fast VALUES (1);
CREATE TABLE public.nothing_in_it ();
CREATE TABLE public.dropped_column (a int, gone int, b int);
ALTER TABLE public.dropped_column DROP COLUMN gone;
INSERT INTO public.dropped_column VALUES (1, 2);
CREATE TABLE public.floats (f8 float8, f4 float4, n numeric, i interval, r tstzrange, u uuid, x xml, p point);
INSERT INTO public.floats VALUES ('NaN', 'Infinity', 'NaN', '1 mon -3 days 04:05:06.789', '[2026-01-01,)', gen_random_uuid(), '<a>&amp;</a>', '(1e-300,2)'),
  ('-0', '1e-45', 12345678901234567890.123456789, NULL, 'empty', NULL, NULL, NULL);

CREATE VIEW app.adults AS SELECT p.id, p.name, (SELECT count(*) FROM app.orders o WHERE o.person = p.id) AS orders
  FROM app.people p WHERE p.status::text = ANY (ARRAY['new', 'old']) OR p.status IN ('x', 'y');
CREATE VIEW app.checked WITH (security_barrier = true) AS SELECT * FROM public.parent WHERE a > 1 WITH CASCADED CHECK OPTION;
CREATE MATERIALIZED VIEW app.totals AS SELECT kind, count(*) AS n FROM app.events GROUP BY kind WITH DATA;
CREATE UNIQUE INDEX totals_kind ON app.totals (kind);
CREATE MATERIALIZED VIEW app.unfilled AS SELECT 1 AS one WITH NO DATA;
CREATE RULE notify_child AS ON DELETE TO public.child DO ALSO NOTIFY gone;

SET CONSTRAINTS ALL IMMEDIATE;
CREATE FUNCTION app.stamp() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.born := now(); RETURN NEW; END $$;
CREATE TRIGGER stamp BEFORE UPDATE OF name ON app.people FOR EACH ROW WHEN (OLD.name IS DISTINCT FROM NEW.name) EXECUTE FUNCTION app.stamp();
ALTER TABLE app.people DISABLE TRIGGER stamp;
CREATE CONSTRAINT TRIGGER late AFTER INSERT ON app.orders DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION app.stamp();
CREATE FUNCTION app.watch() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN NULL; END $$;
CREATE EVENT TRIGGER watch ON ddl_command_end WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION app.watch();

ALTER TABLE app.orders ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON app.orders FOR SELECT TO dg_reader USING (person = 1 OR (placed > date '2026-01-02'));
GRANT USAGE ON SCHEMA app TO dg_reader;
GRANT SELECT ON app.people, app.orders TO dg_reader WITH GRANT OPTION;
GRANT UPDATE (name) ON app.people TO dg_reader;
ALTER DEFAULT PRIVILEGES IN SCHEMA app GRANT SELECT ON TABLES TO dg_reader;
ALTER TABLE app.orders OWNER TO dg_owner;
CREATE PUBLICATION pub FOR TABLE app.people;
CREATE TEXT SEARCH CONFIGURATION app.simple_german (COPY = pg_catalog.german);
CREATE SEQUENCE app.odd AS smallint INCREMENT BY -3 MINVALUE -300 MAXVALUE 30 START 9 CYCLE CACHE 2;
SELECT nextval('app.odd');

SELECT lo_from_bytea(0, convert_to(repeat('large object ', 20000), 'UTF8'));
SELECT lo_from_bytea(0, '');
