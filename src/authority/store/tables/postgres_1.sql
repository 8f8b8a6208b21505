-- Texts are ordered by their bytes, as in Rust and SQLite, whatever the language of the database.
CREATE TABLE sidegate_state (
    id BIGINT PRIMARY KEY CHECK (id = 1),
    number BIGINT NOT NULL,
    keys_number BIGINT NOT NULL
);
INSERT INTO sidegate_state (id, number, keys_number) VALUES (1, 0, 0);

CREATE TABLE sidegate_clients (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    notes TEXT NOT NULL,
    scopes TEXT NOT NULL,
    roles TEXT NOT NULL,
    tenants TEXT NOT NULL,
    secrets TEXT NOT NULL,
    jwks TEXT,
    is_revoked BOOLEAN NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    last_used_at BIGINT,
    generation BIGINT NOT NULL,
    version BIGINT NOT NULL UNIQUE
);

-- Clients that are no more, so that whoever follows the changes learns of it.
CREATE TABLE sidegate_deleted_clients (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    number BIGINT NOT NULL UNIQUE
);

CREATE TABLE sidegate_foreign_clients (
    iss TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    is_refused BOOLEAN NOT NULL,
    number BIGINT NOT NULL UNIQUE,
    PRIMARY KEY (iss, id)
);

CREATE TABLE sidegate_revoked_tokens (
    jti TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    client_id TEXT COLLATE "C" NOT NULL,
    expires_at BIGINT NOT NULL,
    number BIGINT NOT NULL UNIQUE
);
CREATE INDEX sidegate_revoked_tokens_expires_at ON sidegate_revoked_tokens (expires_at);
-- Each client has a bound of its own.
CREATE INDEX sidegate_revoked_tokens_client_id ON sidegate_revoked_tokens (client_id, expires_at);

CREATE TABLE sidegate_keys (
    key_id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    algorithm TEXT NOT NULL,
    phase TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    phase_since BIGINT NOT NULL,
    token_seconds BIGINT NOT NULL,
    private BYTEA NOT NULL,
    is_sealed BOOLEAN NOT NULL,
    public_jwk TEXT NOT NULL
);

CREATE TABLE sidegate_audit (
    number BIGINT NOT NULL PRIMARY KEY,
    made_at BIGINT NOT NULL,
    who TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    state_before TEXT,
    state_after TEXT
);
CREATE FUNCTION sidegate_audit_is_final() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'the audit log can only be appended to'; END $$;
CREATE TRIGGER sidegate_audit_is_final BEFORE UPDATE OR DELETE OR TRUNCATE ON sidegate_audit
FOR EACH STATEMENT EXECUTE FUNCTION sidegate_audit_is_final();
