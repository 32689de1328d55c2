-- Who may use the HTTP API.

CREATE TABLE IF NOT EXISTS api_token_revisions {{on_cluster}}
(
    id          String                   COMMENT 'Public part of the token',
    name        String                   COMMENT 'Whose it is, or what it is for',
    hash        String                   COMMENT 'Argon2id of the secret part, as a PHC string',
    role        LowCardinality(String)   COMMENT 'viewer, analyst, manager, admin',
    brands      Array(String)            COMMENT 'Brands that it may see; empty is all',
    created_at  DateTime64(3, 'UTC')     COMMENT 'When it was made',
    expires_at  Nullable(DateTime64(3, 'UTC')) COMMENT 'When it ends; NULL is never',
    revoked     UInt8                    COMMENT '1: no longer accepted; this cannot be taken back'
)
ENGINE = {{replacing_merge_tree}}(revoked)
ORDER BY id
COMMENT 'Every revision of a token; read the view api_tokens instead';

CREATE OR REPLACE VIEW api_tokens {{on_cluster}} AS
SELECT * FROM api_token_revisions FINAL
COMMENT 'Tokens of the HTTP API';
