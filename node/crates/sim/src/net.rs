//! A simulated net: requests and answers are delayed, reordered, doubled or lost; links are cut one way or both.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use datamesh_exchange::message::{Refusal, Request, Response};
use datamesh_exchange::net::{Answer, Net, NoAnswer};
use datamesh_mesh::{Caller, Handler, Trust};
use datamesh_seal::{Certificate, MemberRole};
use datamesh_shard::{Generation, Incarnation, NodeName, PeerKey, SegmentId};
use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;

use crate::bugs::Bug;
use crate::dice::Dice;
use crate::life::{Life, start};
use crate::totals::Totals;

/// How often everybody looks whether those it lost are back, and whether those it has are still there.
const PROBE_PERIOD: Duration = Duration::from_secs(2);
/// The latest that a message comes for a second time: less than what is deleted stays, as with real retentions (10 minutes).
const LATE_MS_MAX: u64 = 18_000;
/// Before one that cannot be reached is known to be so.
const REFUSED_AFTER: Duration = Duration::from_millis(3);

/// A process that answers.
pub(crate) type Server =
    Arc<dyn Fn(Caller, Request, Bytes) -> BoxFuture<'static, (Response, Bytes)> + Send + Sync>;

/// What the wires are like.
#[derive(Default)]
struct Wires {
    servers: BTreeMap<PeerKey, Listening>,
    /// From whom to whom nothing comes through.
    cut: BTreeSet<(PeerKey, PeerKey)>,
    /// Times out of a thousand that a message is lost, and that one comes twice.
    lossy_per_mille: usize,
    /// Most messages come a second time, many of them when nobody thinks of them any more.
    echoes: bool,
    /// Who gives shards that are not what they were on its disk.
    liar: Option<PeerKey>,
    /// Segments that the gateway is about to have deleted, and up to which generation.
    deleting: Option<(SegmentId, Generation)>,
    /// Who believes of whom that it does not answer.
    down: BTreeSet<(PeerKey, PeerKey)>,
}

#[derive(Clone)]
struct Listening {
    server: Server,
    trust: Arc<Trust>,
    incarnation: Incarnation,
    life: Life,
}

/// All wires. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Fabric {
    wires: Arc<Mutex<Wires>>,
    /// A delete begins.
    deletes: Arc<tokio::sync::Notify>,
    dice: Dice,
    totals: Totals,
    bug: Option<Bug>,
}

impl Fabric {
    pub(crate) fn new(dice: Dice, totals: Totals, bug: Option<Bug>) -> Self {
        Self { wires: Arc::default(), deletes: Arc::default(), dice, totals, bug }
    }

    /// A process listens from now on, in place of an earlier one of the same key.
    pub(crate) fn listen(
        &self,
        peer: PeerKey,
        handler: impl Handler,
        trust: Arc<Trust>,
        incarnation: Incarnation,
        life: Life,
    ) {
        let handler = Arc::new(handler);
        let server: Server = Arc::new(move |caller, request, payload| {
            let handler = Arc::clone(&handler);
            async move { handler.handle(caller, request, payload).await }.boxed()
        });
        self.wires.lock().servers.insert(peer, Listening { server, trust, incarnation, life });
    }

    pub(crate) fn cut(&self, from: PeerKey, to: PeerKey) {
        self.wires.lock().cut.insert((from, to));
    }

    pub(crate) fn lose(&self, per_mille: usize) {
        self.wires.lock().lossy_per_mille = per_mille;
    }

    /// What is sent from now on lies in some queue, and comes once more after a while.
    pub(crate) fn echo(&self) {
        self.wires.lock().echoes = true;
    }

    /// What this node gives is changed on its way out, half of the time: bad memory.
    pub(crate) fn lie(&self, peer: PeerKey) {
        self.wires.lock().liar = Some(peer);
    }

    /// Waits until the gateway begins to have a segment deleted.
    pub(crate) async fn next_delete(&self) -> Option<(SegmentId, Generation)> {
        self.deletes.notified().await;
        self.wires.lock().deleting
    }

    /// All wires are whole again.
    pub(crate) fn heal(&self) {
        let mut wires = self.wires.lock();
        wires.cut.clear();
        wires.echoes = false;
        wires.liar = None;
        wires.lossy_per_mille = 0;
    }

    fn reach(&self, from: PeerKey, to: PeerKey) -> Option<Listening> {
        let wires = self.wires.lock();
        let listening = wires.servers.get(&to).filter(|listening| !listening.life.is_over())?;
        (!wires.cut.contains(&(from, to)) && !wires.cut.contains(&(to, from))).then(|| listening.clone())
    }

    /// What a process looks after by itself: who of `peers` answers. Runs as long as it lives.
    pub(crate) async fn probe(self, me: PeerKey, life: Life, peers: Vec<PeerKey>, trust: Option<Arc<Trust>>) {
        loop {
            life.sleep(PROBE_PERIOD).await;
            for peer in &peers {
                let reached = self.reach(me, *peer);
                let mut wires = self.wires.lock();
                match &reached {
                    Some(listening) => {
                        wires.down.remove(&(me, *peer));
                        if let Some(trust) = &trust {
                            // A lower one than seen is the business of whoever talks to it.
                            let _ = trust.observe(*peer, listening.incarnation);
                        }
                    }
                    None => drop(wires.down.insert((me, *peer))),
                }
            }
        }
    }

    /// One message on its way; false if it gets lost.
    async fn travel(&self, life: &Life) -> bool {
        life.sleep(self.dice.millis(0, 6)).await;
        let lossy = self.wires.lock().lossy_per_mille;
        let lost = lossy > 0 && self.dice.per_mille(lossy);
        if lost {
            self.totals.count(|counts| counts.lost += 1);
        }
        !lost
    }

    fn comes_twice(&self) -> bool {
        let (lossy, echoes) = {
            let wires = self.wires.lock();
            (wires.lossy_per_mille > 0, wires.echoes)
        };
        echoes && self.dice.per_mille(600) || lossy && self.dice.per_mille(100)
    }

    /// How much later it comes for the second time.
    fn late(&self) -> Duration {
        let bound = if self.wires.lock().echoes { LATE_MS_MAX } else { 3000 };
        self.dice.millis(1, bound)
    }

    /// What comes of an answer on its way out of this node's memory.
    fn answer_of(&self, peer: PeerKey, (answer, payload): (Response, Bytes)) -> (Response, Bytes) {
        let is_shard = matches!(answer, Response::Shard { .. } | Response::Range);
        if is_shard && self.wires.lock().liar == Some(peer) && self.dice.per_mille(500) {
            self.totals.count(|counts| counts.lies += 1);
            return (answer, payload.iter().map(|byte| byte ^ 0xaa).collect());
        }
        (answer, payload)
    }

    fn note_delete(&self, request: &Request) {
        if let Request::DeleteSegment { segment, generation } = request {
            self.wires.lock().deleting = Some((*segment, *generation));
            self.deletes.notify_waiters();
        }
    }
}

/// What is counted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Home,
    DeleteSegment,
    Look,
    Other,
}

impl Kind {
    fn of(request: &Request) -> Self {
        match request {
            Request::Home { .. } => Self::Home,
            Request::DeleteSegment { .. } => Self::DeleteSegment,
            Request::Look { .. } => Self::Look,
            _ => Self::Other,
        }
    }
}

/// One process's way to the others.
pub(crate) struct Link {
    pub(crate) fabric: Fabric,
    pub(crate) me: Me,
    pub(crate) life: Life,
}

/// Who asks.
#[derive(Clone)]
pub(crate) struct Me {
    pub(crate) peer: PeerKey,
    pub(crate) incarnation: Incarnation,
    /// Shown by gateways.
    pub(crate) certificate: Option<Certificate>,
    /// What a node believes; it hears others' incarnations by talking to them.
    pub(crate) trust: Option<Arc<Trust>>,
}

impl Me {
    pub(crate) fn gateway(peer: PeerKey, node: NodeName, incarnation: Incarnation) -> Self {
        let role = MemberRole::Gateway;
        let certificate = Certificate { role, node, peer, not_after_unix: u64::MAX };
        Self { peer, incarnation, certificate: Some(certificate), trust: None }
    }

    /// As the other side's transport judges it.
    fn caller(&self, to: &Listening) -> Option<Caller> {
        let accepted = to.trust.accepts(self.peer, None, self.incarnation).ok()?;
        Some(Caller { role: self.certificate.clone(), ..accepted })
    }
}

impl Link {
    async fn ask(&self, peer: &PeerKey, request: Request, payload: Bytes) -> Answer {
        self.life.check().await;
        self.fabric.totals.count(|counts| counts.requests += 1);
        self.fabric.note_delete(&request);
        let Some(to) = self.fabric.reach(self.me.peer, *peer) else {
            self.life.sleep(REFUSED_AFTER).await;
            return Err(NoAnswer("not reached".into()));
        };
        if !self.fabric.travel(&self.life).await {
            return std::future::pending().await;
        }
        if self.fabric.bug == Some(Bug::HomedTooEarly) && matches!(request, Request::Home { .. }) {
            return Ok((Response::Done, Bytes::new()));
        }
        if self.fabric.comes_twice() {
            let (again, delay) = (self.start(&to, request.clone(), payload.clone()), self.fabric.late());
            let life = to.life.clone();
            start(async move {
                life.sleep(delay).await;
                again.await;
            });
        }
        let (tell, told) = tokio::sync::oneshot::channel();
        let kind = Kind::of(&request);
        let answering = self.start(&to, request, payload);
        // Goes on when the asker goes away.
        start(async move {
            let _ = tell.send(answering.await);
        });
        let Ok(answer) = told.await else { return Err(NoAnswer("broken off".into())) };
        let answer = self.fabric.answer_of(*peer, answer);
        if answer.0 == Response::Done {
            self.fabric.totals.count(|counts| match kind {
                Kind::Home => counts.sent_home += 1,
                Kind::DeleteSegment => counts.segments_deleted += 1,
                Kind::Look => counts.looks += 1,
                Kind::Other => {}
            });
        }
        if !self.fabric.travel(&self.life).await || self.fabric.reach(self.me.peer, *peer).is_none() {
            return std::future::pending().await;
        }
        if let Some(trust) = &self.me.trust {
            let _ = trust.observe(*peer, to.incarnation);
        }
        Ok(answer)
    }

    fn start(
        &self,
        to: &Listening,
        request: Request,
        payload: Bytes,
    ) -> BoxFuture<'static, (Response, Bytes)> {
        let (server, life) = (Arc::clone(&to.server), to.life.clone());
        let caller = self.me.caller(to);
        async move {
            life.check().await;
            match caller {
                Some(caller) => server(caller, request, payload).await,
                None => (Response::Refused(Refusal::NotAMember), Bytes::new()),
            }
        }
        .boxed()
    }
}

impl Net for Link {
    fn request<'a>(
        &'a self,
        peer: &'a PeerKey,
        request: Request,
        payload: Option<Bytes>,
        timeout: Duration,
    ) -> BoxFuture<'a, Answer> {
        async move {
            let asked =
                tokio::time::timeout(timeout, self.ask(peer, request, payload.unwrap_or_default())).await;
            self.life.check().await;
            let answer = asked.unwrap_or_else(|_| Err(NoAnswer("no answer in time".into())));
            if answer.is_err() {
                self.fabric.wires.lock().down.insert((self.me.peer, *peer));
            }
            answer
        }
        .boxed()
    }

    fn is_live(&self, peer: &PeerKey) -> bool {
        let wires = self.fabric.wires.lock();
        wires.servers.contains_key(peer) && !wires.down.contains(&(self.me.peer, *peer))
    }

    fn round_trip(&self, _: &PeerKey) -> Option<Duration> {
        None
    }

    fn p95(&self, _: &PeerKey) -> Option<Duration> {
        Some(Duration::from_millis(40))
    }
}
