//! What is measured: how many clients do what, how often, and with how much.

/// One round of one kind of request.
pub(crate) struct Round {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) clients: usize,
    pub(crate) count: usize,
    pub(crate) bytes: usize,
    /// Objects that reads go round; as many as requests: each is read once, and nothing comes from the gateway's memory.
    pub(crate) keys: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Put,
    Get,
    Head,
    List,
}

pub(crate) const MIB: usize = 1 << 20;

impl Round {
    /// The same with one of so many clients, requests and objects.
    pub(crate) fn one_of(&self, parts: usize) -> Self {
        let part = |many: usize| many.div_ceil(parts);
        let (clients, count, keys) = (part(self.clients), part(self.count), part(self.keys));
        Self { clients, count, keys, ..*self }
    }
}

/// Sizes and client counts people compare stores by.
pub(crate) const ROUNDS: &[Round] = &[
    Round { name: "warm-up PUT 10 MiB", kind: Kind::Put, clients: 8, count: 32, bytes: 10 * MIB, keys: 32 },
    Round { name: "PUT 10 MiB", kind: Kind::Put, clients: 8, count: 128, bytes: 10 * MIB, keys: 128 },
    Round { name: "GET 10 MiB", kind: Kind::Get, clients: 8, count: 128, bytes: 10 * MIB, keys: 128 },
    Round { name: "hot GET 10 MiB", kind: Kind::Get, clients: 8, count: 256, bytes: 10 * MIB, keys: 8 },
    Round { name: "PUT 1 MiB", kind: Kind::Put, clients: 8, count: 512, bytes: MIB, keys: 512 },
    Round { name: "GET 1 MiB", kind: Kind::Get, clients: 8, count: 512, bytes: MIB, keys: 512 },
    Round { name: "hot GET 1 MiB", kind: Kind::Get, clients: 8, count: 1024, bytes: MIB, keys: 32 },
    Round { name: "PUT 64 KiB", kind: Kind::Put, clients: 16, count: 1000, bytes: 64 << 10, keys: 1000 },
    Round { name: "GET 64 KiB", kind: Kind::Get, clients: 16, count: 1000, bytes: 64 << 10, keys: 1000 },
    Round { name: "hot GET 64 KiB", kind: Kind::Get, clients: 16, count: 10_000, bytes: 64 << 10, keys: 100 },
    Round { name: "PUT 4 KiB", kind: Kind::Put, clients: 16, count: 10_000, bytes: 4096, keys: 10_000 },
    Round { name: "GET 4 KiB", kind: Kind::Get, clients: 16, count: 20_000, bytes: 4096, keys: 128 },
    Round { name: "HEAD 4 KiB", kind: Kind::Head, clients: 16, count: 20_000, bytes: 4096, keys: 128 },
    Round { name: "LIST 10,000 keys", kind: Kind::List, clients: 1, count: 10, bytes: 4096, keys: 0 },
    Round { name: "PUT of 64 clients", kind: Kind::Put, clients: 64, count: 640, bytes: MIB, keys: 640 },
    Round { name: "GET of 64 clients", kind: Kind::Get, clients: 64, count: 640, bytes: MIB, keys: 640 },
    Round { name: "PUT 32 MiB of 64", kind: Kind::Put, clients: 64, count: 64, bytes: 32 * MIB, keys: 64 },
    Round { name: "GET 32 MiB of 64", kind: Kind::Get, clients: 64, count: 64, bytes: 32 * MIB, keys: 64 },
    Round {
        name: "PUT of 1,000 clients",
        kind: Kind::Put,
        clients: 1000,
        count: 2000,
        bytes: MIB,
        keys: 1000,
    },
    Round {
        name: "GET of 1,000 clients",
        kind: Kind::Get,
        clients: 1000,
        count: 2000,
        bytes: MIB,
        keys: 1000,
    },
    Round { name: "one PUT 10 MiB", kind: Kind::Put, clients: 1, count: 16, bytes: 10 * MIB, keys: 16 },
    Round { name: "one GET 10 MiB", kind: Kind::Get, clients: 1, count: 16, bytes: 10 * MIB, keys: 16 },
];

/// The same over S3, signed.
pub(crate) const S3_ROUNDS: &[Round] = &[
    Round { name: "S3 PUT 10 MiB", kind: Kind::Put, clients: 8, count: 128, bytes: 10 * MIB, keys: 128 },
    Round { name: "S3 GET 10 MiB", kind: Kind::Get, clients: 8, count: 128, bytes: 10 * MIB, keys: 128 },
    Round { name: "S3 PUT 4 KiB", kind: Kind::Put, clients: 16, count: 10_000, bytes: 4096, keys: 10_000 },
    Round { name: "S3 GET 4 KiB", kind: Kind::Get, clients: 16, count: 20_000, bytes: 4096, keys: 128 },
    Round { name: "S3 HEAD 4 KiB", kind: Kind::Head, clients: 16, count: 20_000, bytes: 4096, keys: 128 },
    Round { name: "S3 LIST 10,000", kind: Kind::List, clients: 1, count: 10, bytes: 4096, keys: 0 },
];

/// Each client is a user of its own, signed in, as long as there are as many.
pub(crate) const USERS_ROUNDS: &[Round] = &[
    Round {
        name: "PUT 4 KiB of 200",
        kind: Kind::Put,
        clients: 200,
        count: 10_000,
        bytes: 4096,
        keys: 10_000,
    },
    Round {
        name: "GET 4 KiB of 200",
        kind: Kind::Get,
        clients: 200,
        count: 20_000,
        bytes: 4096,
        keys: 10_000,
    },
    Round { name: "HEAD of 200", kind: Kind::Head, clients: 200, count: 20_000, bytes: 4096, keys: 10_000 },
];

/// Over S3, signed, at three gateways that keep one catalog: 16 clients at each.
pub(crate) const GROUP_S3_ROUNDS: &[Round] = &[
    Round {
        name: "S3 PUT 4 KiB at 3",
        kind: Kind::Put,
        clients: 48,
        count: 10_000,
        bytes: 4096,
        keys: 10_000,
    },
    Round { name: "S3 GET 4 KiB at 3", kind: Kind::Get, clients: 48, count: 20_000, bytes: 4096, keys: 128 },
    Round {
        name: "S3 HEAD 4 KiB at 3",
        kind: Kind::Head,
        clients: 48,
        count: 20_000,
        bytes: 4096,
        keys: 128,
    },
];

/// The cheapest change that the API knows: an object that fits its row of the catalog, put by REST by whoever has the file's token, which is
/// no row. One commit each, and nothing else that is durable.
pub(crate) const COMMITS: Round = Round {
    name: "commits at 3 gateways",
    kind: Kind::Put,
    clients: 256,
    count: 40_000,
    bytes: 200,
    keys: 40_000,
};
