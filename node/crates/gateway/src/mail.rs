//! Mail: handed to the server of the settings, one connection each. Nothing of a mail is ever logged, nor what the server says of it,
//! which may name whom it is for.

use std::time::Duration;

use datamesh_settings::mail::{MailSettings, MailTls};
use datamesh_settings::{SettingsError, read_secret};
use lettre::message::{Mailbox, header::ContentType};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{Address, AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::outward::{self, NoAuthorities, is_this_machine};

/// How long each step of a conversation with the server may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long the whole of it may take, however much the server says.
const PATIENCE_IN_ALL: Duration = Duration::from_secs(60);

type Transport = AsyncSmtpTransport<Tokio1Executor>;

/// Why mail cannot be sent. None of them tells what it said or whom it was for.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// The sender is none.
    #[error("mail.from is no address: write one like `DataMesh <datamesh@example.org>`")]
    From,
    /// One of the two files alone.
    #[error("mail.userFile and mail.passwordFile belong together: give both or none")]
    HalfSignIn,
    /// A password without TLS.
    #[error(
        "mail.tls is `none`, over which no password is sent: choose `starttls` or `implicit`, or leave mail.userFile out"
    )]
    PasswordInTheClear,
    /// No TLS, and not to this machine.
    #[error(
        "mail.tls is `none`, which mail.host may have on this machine alone, as localhost: choose `starttls` or `implicit`"
    )]
    InTheClear,
    /// A secret's file.
    #[error(transparent)]
    Secret(#[from] SettingsError),
    /// Nobody vouches for the server.
    #[error("mail.{0}")]
    Authorities(#[from] NoAuthorities),
    /// The page is none.
    #[error("mail.linkBase is no page: write one like `https://files.example.org/reset`, without `#`")]
    LinkBase,
    /// The server's name or its certificates are of no use.
    #[error("mail.host: TLS cannot be prepared for it")]
    Tls,
    /// Whom it is for has no address that mail can have.
    #[error("the recipient's address is none")]
    To,
    /// It could not be put together.
    #[error("the mail could not be put together")]
    Form,
    /// The server does not take it.
    #[error("the mail server {what}{}", code.map(|code| format!(" ({code})")).unwrap_or_default())]
    Server {
        /// What it did.
        what: &'static str,
        /// The code it answered with, if it did.
        code: Option<u16>,
    },
}

/// Whether mail can have this address: not one of a machine (`a@[10.0.0.1]`), which names no mailbox of anybody's.
pub(crate) fn is_address(text: &str) -> bool {
    text.parse::<Address>().is_ok_and(|address| !address.domain().starts_with('['))
}

/// Hands mail to a server.
#[derive(Debug)]
pub struct Mailer {
    settings: MailSettings,
    from: Mailbox,
}

impl Mailer {
    /// Checks the settings and the files they name; reaches for nobody. Blocking.
    ///
    /// # Errors
    /// Names the field and the remedy.
    pub fn open(settings: MailSettings) -> Result<Self, MailError> {
        let from = settings.from.parse().map_err(|_| MailError::From)?;
        let page = settings.link_base.as_deref();
        if page.is_some_and(|page| !page.starts_with("https://") || page.contains(['#', ' ', '\r', '\n'])) {
            return Err(MailError::LinkBase);
        }
        transport(&settings)?;
        Ok(Self { settings, from })
    }

    /// The page on which people choose a password.
    pub(crate) fn link_base(&self) -> Option<&str> {
        self.settings.link_base.as_deref()
    }

    /// Hands a mail to the server. The files are read anew, so that a password may change.
    pub(crate) async fn send(
        &self,
        to: &str,
        subject: &str,
        text: Zeroizing<String>,
    ) -> Result<(), MailError> {
        let to: Address = to.parse().map_err(|_| MailError::To)?;
        let message = Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, to))
            .subject(subject)
            .header(ContentType::TEXT_PLAIN)
            .body(text.as_str().to_owned())
            .map_err(|_| MailError::Form)?;
        let settings = self.settings.clone();
        let transport = tokio::task::spawn_blocking(move || transport(&settings));
        let transport = transport.await.map_err(|_| MailError::Tls)??;
        let late = MailError::Server { what: "takes too long", code: None };
        let sent = timeout(PATIENCE_IN_ALL, transport.send(message)).await.map_err(|_| late)?;
        sent.map(drop).map_err(|error| refused(&error))
    }
}

fn transport(settings: &MailSettings) -> Result<Transport, MailError> {
    let tls = match settings.tls {
        // Whoever listens to a code has the account.
        MailTls::None if !is_this_machine(&settings.host) => return Err(MailError::InTheClear),
        MailTls::None => Tls::None,
        MailTls::Starttls => Tls::Required(parameters(settings)?),
        MailTls::Implicit => Tls::Wrapper(parameters(settings)?),
    };
    let builder = Transport::builder_dangerous(&settings.host).port(settings.port).tls(tls);
    let builder = builder.timeout(Some(PATIENCE));
    Ok(match (&settings.user_file, &settings.password_file) {
        (None, None) => builder.build(),
        (Some(_), Some(_)) if settings.tls == MailTls::None => return Err(MailError::PasswordInTheClear),
        (Some(user), Some(password)) => {
            builder.credentials(Credentials::new(read_secret(user)?, read_secret(password)?)).build()
        }
        _ => return Err(MailError::HalfSignIn),
    })
}

fn parameters(settings: &MailSettings) -> Result<TlsParameters, MailError> {
    let builder = TlsParameters::builder(settings.host.clone());
    let builder = match &settings.ca_file {
        None => builder,
        Some(path) => {
            let only = lettre::transport::smtp::client::CertificateStore::None;
            let vouching = outward::certificates(path)?;
            vouching
                .into_iter()
                .try_fold(builder.certificate_store(only), |builder, one| {
                    Certificate::from_der(one.to_vec()).map(|one| builder.add_root_certificate(one))
                })
                .map_err(|_| NoAuthorities::Content { path: path.clone() })?
        }
    };
    builder.build().map_err(|_| MailError::Tls)
}

/// What the server did, without its words.
fn refused(error: &lettre::transport::smtp::Error) -> MailError {
    let what = if error.is_permanent() {
        "refuses the mail"
    } else if error.is_transient() {
        "does not take the mail now"
    } else if error.is_timeout() {
        "takes too long"
    } else if error.is_tls() {
        "does not prove who it is, or speaks no TLS"
    } else if error.is_client() {
        "does not offer what is needed: TLS, or a way to sign in"
    } else {
        "cannot be reached"
    };
    MailError::Server { what, code: error.status().map(u16::from) }
}
