package migrations_test

// accessTable is who may do what, whole: every table, every duty, every command,
// seen by acme (the tenant setting) on rows of each class.
//
//   - done   0 passes and touches nothing   - refused with 42501   . no such row
//
// read, update and delete: own, shared, private, platform; insert: own, another
// tenant's, platform; last: truncate.
const accessTable = `
entity                      read insert update delete truncate
  writer                    ++0+ +--    +000   ----   -
  reader                    ++0+ ---    ----   ----   -
  embedder certifier drift  ++++ ---    +++0   ----   -
  auditor                   ++++ ---    ----   ----   -
  operator                  000+ --+    000+   ----   -
  authenticator             ---- ---    ----   ----   -
skill job_role team industry
  writer                    ++0. +-.    +00.   ---.   -
  reader                    ++0. --.    ---.   ---.   -
  embedder certifier drift  +++. --.    ---.   ---.   -
  auditor                   +++. --.    ---.   ---.   -
  operator authenticator    ---. --.    ---.   ---.   -
agent
  writer                    ++0. +-.    +00.   ---.   -
  reader                    ++0. --.    ---.   ---.   -
  certifier                 +++. --.    +++.   ---.   -
  embedder drift            +++. --.    ---.   ---.   -
  auditor                   +++. --.    ---.   ---.   -
  operator authenticator    ---. --.    ---.   ---.   -
signing_key
  operator                  ...+ ..+    ...+   ...-   -
  writer reader embedder certifier auditor drift authenticator
                            ...+ ..-    ...-   ...-   -
amendment opening
  writer                    ++0+ +--    ----   ----   -
  reader                    ++0+ ---    ----   ----   -
  embedder certifier drift  ++++ ++-    ----   ----   -
  auditor                   ++++ ---    ----   ----   -
  operator                  000+ --+    ----   ----   -
  authenticator             ---- ---    ----   ----   -
signature_batch
  writer                    ++0. ..+    ---.   ---.   -
  reader                    ++0. ..-    ---.   ---.   -
  embedder certifier drift  +++. ..+    ---.   ---.   -
  auditor                   +++. ..-    ---.   ---.   -
  operator                  000. ..+    ---.   ---.   -
  authenticator             ---. ..-    ---.   ---.   -
constitution
  operator certifier        ...+ ..+    ...-   ...-   -
  writer reader embedder auditor drift authenticator
                            ...+ ..-    ...-   ...-   -
enactment
  operator                  ...+ ..0    ...-   ...-   -
  writer reader embedder certifier auditor drift authenticator
                            ...+ ..-    ...-   ...-   -
job_role_skill
  writer                    ++0. +-.    ---.   +00.   -
  reader                    ++0. --.    ---.   ---.   -
  embedder certifier auditor drift
                            +++. --.    ---.   ---.   -
  operator authenticator    ---. --.    ---.   ---.   -
embedding search_text
  writer reader             ++0. --.    ---.   ---.   -
  embedder drift            +++. ++.    +++.   +++.   -
  auditor                   +++. --.    ---.   ---.   -
  certifier operator authenticator
                            ---. --.    ---.   ---.   -
principal
  operator                  +.+. ++.    +.+.   -.-.   -
  authenticator             +.+. --.    -.-.   -.-.   -
  writer reader embedder certifier auditor drift
                            -.-. --.    -.-.   -.-.   -
idempotency_key
  writer certifier          +.0. +-.    -.-.   -.-.   -
  auditor                   +.+. --.    -.-.   +.+.   -
  reader embedder drift operator authenticator
                            -.-. --.    -.-.   -.-.   -
refusal
  reader                    +.0. --.    -.-.   -.-.   -
  writer                    -.-. +-.    -.-.   -.-.   -
  certifier                 -.-. ++.    -.-.   -.-.   -
  auditor                   +.+. --.    -.-.   -.-.   -
  embedder drift operator authenticator
                            -.-. --.    -.-.   -.-.   -
outbox
  writer                    +.0. +-.    -.-.   +.0.   -
  embedder certifier drift  +.+. ++.    -.-.   +.+.   -
  auditor                   +.+. ++.    +.+.   +.+.   -
  reader operator authenticator
                            -.-. --.    -.-.   -.-.   -
inbox
  writer embedder certifier drift
                            ...- ..+    ...-   ...-   -
  auditor                   ...+ ..+    ...-   ...+   -
  reader operator authenticator
                            ...- ..-    ...-   ...-   -
log_pending
  auditor operator          ++++ ..-    ----   ----   -
  writer reader embedder certifier drift authenticator
                            ---- ..-    ----   ----   -
log_entry
  writer reader             ++0+ ---    ----   ----   -
  embedder certifier drift  ++++ ---    ----   ----   -
  auditor                   ++++ +++    ----   ----   -
  operator                  ++++ ---    ----   ----   -
  authenticator             ---- ---    ----   ----   -
log_tile
  auditor                   ...+ ..+    ...+   ...-   -
  writer reader embedder certifier drift operator authenticator
                            ...+ ..-    ...-   ...-   -
heads checkpoint
  auditor                   ...+ ..+    ...-   ...-   -
  writer reader embedder certifier drift operator authenticator
                            ...+ ..-    ...-   ...-   -
log_fork
  operator                  ...+ ..+    ...-   ...-   -
  writer reader embedder certifier auditor drift authenticator
                            ...+ ..-    ...-   ...-   -
tenant_salt
  auditor                   +.++ +++    -.--   -.--   -
  reader                    +.0+ ---    -.--   -.--   -
  writer embedder certifier drift operator authenticator
                            -.-- ---    -.--   -.--   -
audit_export audit_finding
  auditor                   +.+. ++.    -.-.   -.-.   -
  reader                    +.0. --.    -.-.   -.-.   -
  writer embedder certifier drift operator authenticator
                            -.-. --.    -.-.   -.-.   -
audit_run
  auditor                   +.+. ++.    +.+.   -.-.   -
  reader                    +.0. --.    -.-.   -.-.   -
  writer embedder certifier drift operator authenticator
                            -.-. --.    -.-.   -.-.   -
drift_finding
  drift                     +.+. ++.    -.-.   -.-.   -
  reader                    +.0. --.    -.-.   -.-.   -
  writer embedder certifier auditor operator authenticator
                            -.-. --.    -.-.   -.-.   -
drift_run
  drift                     +.+. ++.    +.+.   -.-.   -
  auditor                   +.+. --.    -.-.   -.-.   -
  reader                    +.0. --.    -.-.   -.-.   -
  writer embedder certifier operator authenticator
                            -.-. --.    -.-.   -.-.   -
drift_report
  drift                     +.+. ++.    +.+.   -.-.   -
  reader                    +.0. --.    -.-.   -.-.   -
  writer embedder certifier auditor operator authenticator
                            -.-. --.    -.-.   -.-.   -
hold_change
  operator auditor          ...+ ..+    ...-   ...-   -
  writer reader embedder certifier drift authenticator
                            ...+ ..-    ...-   ...-   -
goose_db_version
  writer reader embedder certifier auditor drift operator authenticator
                            ...+ ..-    ...-   ...-   -
`
