use std::io::BufRead as _;
use std::process::ExitCode;
use std::time::Duration;

use crate::client::{Asked, Login};
use crate::commands::Session;
use crate::commands::identities::described;
use crate::config::SavedSession;
use crate::failure::Failure;
use crate::output;

/// By how much the pause between two questions grows when a provider asks for it (RFC 8628).
const SLOWER: Duration = Duration::from_secs(5);

/// Where secrets that nobody should see typed come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Secrets {
    /// The terminal, without showing them.
    Terminal,
    /// Lines of standard input, in the order in which they would be asked for.
    Input,
}

impl Secrets {
    pub(crate) fn of(from_input: bool) -> Self {
        if from_input { Self::Input } else { Self::Terminal }
    }

    pub(super) fn ask(self, what: &str) -> Result<String, Failure> {
        match self {
            Self::Terminal => Ok(rpassword::prompt_password(format!("{what}: "))?),
            Self::Input => {
                let mut line = String::new();
                std::io::stdin().lock().read_line(&mut line)?;
                Ok(line.trim_end_matches(['\r', '\n']).to_owned())
            }
        }
    }

    /// A new password: who types it may mistype it.
    pub(super) fn ask_new(self) -> Result<String, Failure> {
        let password = self.ask("New password")?;
        if self == Self::Terminal && self.ask("Once more")? != password {
            return Err(Failure::Usage("the two are not the same".into()));
        }
        Ok(password)
    }
}

/// Signs in and keeps the session; with a code, chooses a password first.
pub(crate) async fn login(
    session: &Session,
    name: &str,
    (secrets, by_code): (Secrets, bool),
) -> Result<ExitCode, Failure> {
    let password = if by_code {
        let code = secrets.ask("Code")?;
        let password = secrets.ask_new()?;
        session.client.choose_password(code.trim(), &password).await?;
        password
    } else {
        secrets.ask("Password")?
    };
    sign_in(session, name, (&password, secrets)).await
}

/// Who wants to become a user.
pub(crate) struct Newcomer<'a> {
    pub(crate) name: &'a str,
    pub(crate) invited: bool,
    pub(crate) email: Option<&'a str>,
}

/// Becomes a user and signs in.
pub(crate) async fn register(
    session: &Session,
    Newcomer { name, invited, email }: Newcomer<'_>,
    secrets: Secrets,
) -> Result<ExitCode, Failure> {
    let invite = if invited { Some(secrets.ask("Invitation")?) } else { None };
    let password = secrets.ask_new()?;
    session.client.register((name, email), &password, invite.as_deref().map(str::trim)).await?;
    sign_in(session, name, (&password, secrets)).await
}

/// Signs in and keeps the session; asks for a code of the second factor where one is needed.
async fn sign_in(
    session: &Session,
    name: &str,
    (password, secrets): (&str, Secrets),
) -> Result<ExitCode, Failure> {
    let login = match session.client.login(name, password, None).await {
        Err(failure) if failure.is("second-factor-required") => {
            session.client.login(name, password, Some(&secrets.ask("Code of the second factor")?)).await
        }
        login => login,
    }?;
    kept(session, login)
}

/// Signs in at a provider, by whatever browser is at hand, and keeps the session.
pub(crate) async fn at_provider(session: &Session, provider: &str) -> Result<ExitCode, Failure> {
    let begun = session.client.begin_device(provider).await?;
    output::note(&match &begun.page_with_code {
        Some(page) => {
            format!("open {page} in a browser and sign in there; it shows the code {}", begun.user_code)
        }
        None => {
            format!("open {} in a browser, type the code {} and sign in there", begun.page, begun.user_code)
        }
    });
    let mut pause = Duration::from_secs(begun.interval_seconds);
    let over = tokio::time::Instant::now() + Duration::from_secs(begun.expires_in_seconds);
    loop {
        tokio::time::sleep(pause).await;
        match session.client.ask_for_device(provider, &begun.handle).await {
            Ok(Asked::In(login)) => return kept(session, *login),
            // Somebody is typing the code at this moment.
            Err(error) if passes(&error) && tokio::time::Instant::now() < over => pause += SLOWER,
            Ok(Asked::Later { slower: true }) => pause += SLOWER,
            Ok(Asked::Later { .. }) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Whether it may be otherwise a moment later: a gateway that restarts, or too much that is asked of it or the provider.
fn passes(error: &Failure) -> bool {
    match error {
        Failure::Http(_) => true,
        Failure::Refused { status, .. } => *status == 429 || *status >= 500,
        _ => false,
    }
}

/// Keeps a token, once the gateway has said whom it is for.
pub(crate) async fn by_token(session: &Session, from_input: bool) -> Result<ExitCode, Failure> {
    let token = Secrets::of(from_input).ask("Token")?.trim().to_owned();
    let profile = session.client.profile_of(&token).await?;
    SavedSession { server: session.server.clone(), token, is_token: true }.save()?;
    session.show(&profile, || output::line(&format!("a token is kept: {}", described(&profile))))
}

/// Keeps the session and says who is signed in.
fn kept(session: &Session, login: Login) -> Result<ExitCode, Failure> {
    SavedSession { server: session.server.clone(), token: login.token, is_token: false }.save()?;
    if session.json {
        output::json(&serde_json::json!({ "user": login.user, "expiresAt": login.expires_at }))?;
    } else {
        let (name, role) = (&login.user.name, &login.user.role);
        output::line(&format!("signed in as {name} ({role}) until {}", login.expires_at))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Ends the session, here and at the gateway; a token is forgotten here.
pub(crate) async fn logout(session: &Session) -> Result<ExitCode, Failure> {
    let ended = session.client.logout().await;
    SavedSession::forget()?;
    match ended {
        // It had ended already.
        Err(Failure::Refused { status: 401, .. }) | Ok(()) => {
            session.show(&serde_json::json!({ "signedOut": true }), || Ok(()))
        }
        Err(failure) => Err(failure),
    }
}

/// Has a code to choose a password mailed.
pub(crate) async fn forgotten(session: &Session, name: &str) -> Result<ExitCode, Failure> {
    session.client.mail_code(name).await?;
    output::note(&format!("if {name} has an address, a code is on its way: datamesh login {name} --code"));
    Ok(ExitCode::SUCCESS)
}

/// Chooses another password.
pub(crate) async fn password(session: &Session, secrets: Secrets) -> Result<ExitCode, Failure> {
    let (old, new) = (secrets.ask("Old password")?, secrets.ask_new()?);
    session.client.change_password(&old, &new).await?;
    output::note("the other sessions have ended");
    session.show(&serde_json::json!({ "passwordChanged": true }), || Ok(()))
}
