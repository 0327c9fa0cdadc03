//! Of users, what stands for them, and what they did.

use datamesh_catalog::keys::{self as key, Table};
use datamesh_catalog::{
    AddressCode, AuditAt, BucketId, Credential, CredentialId, CredentialKind, Group, Identity, KeyedRequest,
    ObjectKey, PasswordHash, Registration, RequestId, Role, Scope, SecondFactor, Share, ShareUse, Shared,
    UnderWay, User, UserId, record,
};
use datamesh_settings::audit::AuditEntry;
use datamesh_shard::BucketName;

use super::{Sample, sample};

const USER: UserId = UserId([0x55; 16]);
const CREDENTIAL: CredentialId = CredentialId([0x66; 8]);
const REQUEST: RequestId = RequestId([0xee; 32]);
const TIME: u64 = 1_790_000_000_000;

fn credential(kind: CredentialKind) -> Credential {
    Credential {
        hash: [0x77; 32],
        kind,
        created_unix_ms: TIME,
        used_unix_ms: TIME + 1,
        until_unix_ms: TIME + 2,
        address: "10.0.0.1".into(),
    }
}

fn user() -> User {
    User {
        id: USER,
        name: "Alice".parse().unwrap(),
        email: Some("alice@example.org".into()),
        role: Role::Operator,
        disabled: true,
        created_unix_ms: TIME,
        password: Some(PasswordHash("$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA".into())),
        failed_sign_ins: 3,
        last_failed_unix_ms: TIME,
    }
}

fn identity() -> Identity {
    Identity { issuer: "https://id.example.org".into(), subject: "alice".into() }
}

fn address_code() -> AddressCode {
    AddressCode { hash: [0x77; 32], email: "alice@example.org".into(), until_unix_ms: TIME + 2 }
}

fn group(role: Option<Role>) -> Group {
    Group { name: "Devs".parse().unwrap(), role, members: 300, created_unix_ms: TIME }
}

fn second_factor() -> SecondFactor {
    SecondFactor {
        sealed: vec![0x99; 60],
        since_unix_ms: TIME,
        used_step: 59_666_666,
        wrong: 2,
        last_wrong_unix_ms: TIME + 1,
        recovery: vec![[0xaa; 32], [0xbb; 32]],
    }
}

fn keyed_request(answer: Option<Vec<u8>>) -> KeyedRequest {
    let (asker, print) = (USER.0, [0xcc; 32]);
    KeyedRequest { asker, print, begun_unix_ms: TIME, until_unix_ms: TIME + 1, answer }
}

fn share(what: Shared) -> Share {
    Share {
        hash: [0x77; 32],
        bucket: BucketId(7),
        bucket_name: BucketName::new("photos").unwrap(),
        what,
        password: Some(PasswordHash("$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA".into())),
        created_unix_ms: TIME,
        until_unix_ms: TIME + 1,
    }
}

fn shares() -> Vec<Sample> {
    let key = ObjectKey::new("a/b").unwrap();
    let prefix = String::from("in/");
    let under_way = vec![UnderWay { whose: [0x99; 16], until_unix_ms: TIME, bytes_left: 300 }];
    vec![
        sample("share-object", share(Shared::Object { key, downloads_max: Some(300) })),
        sample("share-prefix", share(Shared::Prefix { prefix: prefix.clone(), downloads_max: None })),
        sample("share-drop", share(Shared::Drop { prefix, files_max: 300, bytes_max: 1 << 40 })),
        sample("share-use", ShareUse { downloads: 300, files: 2, bytes: 1 << 33, under_way }),
    ]
}

pub(super) fn samples() -> Vec<Sample> {
    let entry = AuditEntry {
        at_unix_ms: TIME,
        actor: "user:alice".into(),
        user: "55555555555555555555555555555555".into(),
        credential: "6666666666666666".into(),
        action: "PUT /api/v1/files/{*key}".into(),
        target: "/api/v1/files/a".into(),
        detail: "x".into(),
        address: "10.0.0.1".into(),
        request: "0011223344556677".into(),
        status: 201,
    };
    let token = CredentialKind::Token {
        name: "backup".into(),
        scopes: vec![Scope::Read, Scope::Write, Scope::Administer],
    };
    let mut all = vec![
        sample("user", user()),
        sample("session", credential(CredentialKind::Session { device: "datamesh/0.1".into() })),
        sample("token", credential(token)),
        sample("reset", credential(CredentialKind::Reset)),
        sample("invite", credential(CredentialKind::Invite { role: Role::Auditor })),
        sample("address-code", address_code()),
        sample("group", group(Some(Role::Operator))),
        sample("group-without-role", group(None)),
        sample("second-factor", second_factor()),
        sample("keyed-request", keyed_request(None)),
        sample("keyed-request-answered", keyed_request(Some(vec![0xdd; 40]))),
        sample("keyed-request-count", record::KeyedRequestCountRecord { requests: 300 }),
        sample("identity", record::IdentityRecord { user: USER, identity: identity(), ended: false }),
        sample("identity-ended", record::IdentityRecord { user: USER, identity: identity(), ended: true }),
        sample("user-name", record::UserNameRecord { user: USER }),
        sample("registration", record::RegistrationRecord { registration: Registration::Open }),
        sample("audit-entry", record::AuditRecord { entry, link: [0x88; 32] }),
        sample(
            "audit-head",
            record::AuditHeadRecord { count: 300, link: [0x88; 32], signature: vec![9; 64] },
        ),
        sample(
            "audit-cut",
            record::AuditCutRecord(record::AuditHeadRecord {
                count: 300,
                link: [0x88; 32],
                signature: vec![9; 64],
            }),
        ),
    ];
    all.extend(shares());
    all
}

pub(super) fn keys() -> Vec<(&'static str, Vec<u8>)> {
    let at = AuditAt { at_unix_ms: TIME, chain: "gw-0/3".into(), number: 300 };
    vec![
        ("user", key::user(USER)),
        ("user-name", key::user_name("alice")),
        ("credential", key::credential(USER, CREDENTIAL)),
        ("address-code", key::address_code(USER, CREDENTIAL)),
        ("group", key::group("devs")),
        ("group-member", key::group_member("devs", USER)),
        ("group-of-user", key::group_of(USER, "devs")),
        ("second-factor", key::second_factor(USER)),
        ("keyed-request", key::keyed_request(REQUEST)),
        ("keyed-request-due", key::keyed_request_due(TIME, REQUEST)),
        ("keyed-request-count", key::keyed_request_count(&USER.0)),
        ("share", key::share(USER, CREDENTIAL)),
        ("share-use", key::share_use(USER, CREDENTIAL)),
        ("identity", key::identity(&identity())),
        ("identity-of-user", key::identity_of(USER, &identity().issuer)),
        ("used-state", key::used_state(TIME, &[0x33; 32])),
        ("registration", key::only(Table::Registration)),
        ("audit-head", key::audit_head("gw-0/3")),
        ("audit-entry", key::audit_entry(&at)),
        ("audit-cut", key::audit_cut("gw-0/3")),
    ]
}
