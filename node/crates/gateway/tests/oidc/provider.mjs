// A real OpenID provider for tests (npm `oidc-provider`), at 127.0.0.1 as `localhost` unless another address is named. Prints its port. Who asks to sign in is whom the header `x-account` names.
// Lines of standard input, each answered with a line: `rotate` has it sign with new keys, `forge KIND` spoils the next ID token.
import { createHmac, createPrivateKey, createPublicKey, generateKeyPairSync, sign } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { createInterface } from 'node:readline';
import Provider from 'oidc-provider';

const [certificate, key, redirects, address] = process.argv.slice(2);
const server = createServer({ cert: readFileSync(certificate), key: readFileSync(key) });
// Standard output is for answers to the test alone.
const say = console.log;
for (const level of ['log', 'info', 'warn', 'error']) console[level] = () => {};
let generation = 0;
let signing;
let forgery;
let answer;

// Encoded where it is made: to export the key of a fresh pair may wait for ever, for what collects garbage takes the pair's lock too.
const encoding = { privateKeyEncoding: { format: 'jwk' }, publicKeyEncoding: { format: 'jwk' } };
const jwk = (type, options, more) => ({
  ...generateKeyPairSync(type, { ...options, ...encoding }).privateKey,
  ...more,
});
const encode = (value) => Buffer.from(value).toString('base64url');
const decode = (part) => JSON.parse(Buffer.from(part, 'base64url'));

// Signed by the provider's own key: but for what is spoilt, the token is good.
function forged(token) {
  const parts = token.split('.');
  const header = decode(parts[0]);
  const claims = decode(parts[1]);
  const now = Math.floor(Date.now() / 1000);
  const spoil = {
    audience: () => { claims.aud = 'another'; },
    party: () => { claims.azp = 'another'; },
    issuer: () => { claims.iss = 'https://evil.example.org'; },
    expired: () => { claims.exp = now - 3600; claims.iat = now - 7200; },
    nonce: () => { claims.nonce = 'another'; },
    none: () => { header.alg = 'none'; },
    hmac: () => { header.alg = 'HS256'; },
    kid: () => { header.kid = 'nobody'; },
    good: () => {},
  };
  spoil[forgery]();
  const signed = `${encode(JSON.stringify(header))}.${encode(JSON.stringify(claims))}`;
  const own = createPrivateKey({ key: signing, format: 'jwk' });
  const open = createPublicKey(own).export({ type: 'spki', format: 'pem' });
  const signatures = {
    none: () => Buffer.alloc(0),
    HS256: () => createHmac('sha256', open).update(signed).digest(),
    RS256: () => sign('sha256', Buffer.from(signed), own),
  };
  forgery = undefined;
  return `${signed}.${encode(signatures[header.alg]())}`;
}

function provide() {
  generation += 1;
  signing = jwk('rsa', { modulusLength: 2048 }, { use: 'sig', alg: 'RS256', kid: `r${generation}` });
  const client = (client_id, more) => ({
    client_id,
    client_secret: 'a secret: of the client',
    redirect_uris: redirects.split(','),
    response_types: ['code'],
    grant_types: ['authorization_code', 'urn:ietf:params:oauth:grant-type:device_code'],
    ...more,
  });
  const provider = new Provider(`https://${address ?? 'localhost'}:${server.address().port}`, {
    clients: [client('datamesh'), client('modern', { id_token_signed_response_alg: 'ES256' })],
    jwks: {
      keys: [signing, jwk('ec', { namedCurve: 'P-256' }, { use: 'sig', alg: 'ES256', kid: `e${generation}` })],
    },
    cookies: { keys: ['a key of the tests'] },
    claims: { openid: ['sub'], profile: ['preferred_username', 'groups'] },
    pkce: { required: () => true },
    features: { deviceFlow: { enabled: true }, devInteractions: { enabled: false } },
    interactions: { url: (_, interaction) => `/login/${interaction.uid}` },
    findAccount: (_, id) => ({
      accountId: id,
      claims: () => ({ sub: id, preferred_username: id, groups: groups.has(id) ? groups.get(id) : ['people'] }),
    }),
  });
  provider.use(async (context, next) => {
    await next();
    if (context.path === '/token' && context.body?.id_token && forgery) context.body.id_token = forged(context.body.id_token);
  });
  const respond = provider.callback();
  answer = async (request, response) => {
    if (!request.url.startsWith('/login/')) return respond(request, response);
    const { params } = await provider.interactionDetails(request, response);
    const accountId = request.headers['x-account'];
    const grant = new provider.Grant({ accountId, clientId: params.client_id });
    grant.addOIDCScope(params.scope);
    const result = { login: { accountId }, consent: { grantId: await grant.save() } };
    return provider.interactionFinished(request, response, result, { mergeWithLastSubmission: false });
  };
}

// Whom it says people to be, as `group NAME GROUP…` last said; `nogroups NAME`: it says nothing of it.
const groups = new Map();

server.on('request', (request, response) => answer(request, response));
server.listen(0, address ?? '127.0.0.1', () => {
  provide();
  say(server.address().port);
});

// The test closes standard input when it is over.
const lines = createInterface({ input: process.stdin });
lines.on('line', (line) => {
  const [order, ...words] = line.split(' ');
  if (order === 'rotate') provide();
  if (order === 'forge') [forgery] = words;
  if (order === 'group') groups.set(words[0], words.slice(1));
  if (order === 'nogroups') groups.set(words[0], undefined);
  say('done');
});
lines.on('close', () => process.exit());
