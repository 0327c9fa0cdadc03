use std::process::ExitCode;

use serde_json::json;

use crate::args::{RegistrationName, UsersCommand};
use crate::client::{Code, User};
use crate::commands::Session;
use crate::failure::Failure;
use crate::output;

/// Does what an administrator does with users.
pub(crate) async fn run(session: &Session, command: UsersCommand) -> Result<ExitCode, Failure> {
    let client = &session.client;
    match command {
        UsersCommand::List => list(session, client.users().await?)?,
        UsersCommand::Create { name, role, email } => {
            code(session, &client.create_user(&name, role.as_str(), email.as_deref()).await?)?;
        }
        UsersCommand::Reset { name } => code(session, &client.reset_user(&name).await?)?,
        UsersCommand::Role { name, role } => {
            changed(session, &client.change_user(&name, json!({ "role": role.as_str() })).await?)?;
        }
        UsersCommand::Email { name, address, .. } => {
            let address = address.unwrap_or_default();
            let user = client.change_user(&name, json!({ "email": address })).await?;
            email(session, &user)?;
        }
        UsersCommand::Disable { name } => {
            changed(session, &client.change_user(&name, json!({ "disabled": true })).await?)?;
        }
        UsersCommand::Enable { name } => {
            changed(session, &client.change_user(&name, json!({ "disabled": false })).await?)?;
        }
        UsersCommand::ClearSecondFactor { name } => {
            client.clear_second_factor(&name).await?;
            done(session, &name, "without a second factor")?;
        }
        UsersCommand::Registration { who } => {
            registration(session, &client.registration(who.map(RegistrationName::as_str)).await?)?;
        }
        UsersCommand::SignOut { name } => {
            client.end_sessions(&name).await?;
            done(session, &name, "signed out everywhere")?;
        }
        UsersCommand::Delete { name } => {
            client.delete_user(&name).await?;
            done(session, &name, "deleted")?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn registration(session: &Session, who: &str) -> Result<(), Failure> {
    if session.json {
        return output::json(&json!({ "registration": who }));
    }
    output::line(who)
}

fn list(session: &Session, users: Vec<User>) -> Result<(), Failure> {
    if session.json {
        return output::json(&json!({ "users": users }));
    }
    let head = ["NAME", "ROLE", "E-MAIL", "CREATED", "FAILED", ""].map(String::from).to_vec();
    let row = |user: User| {
        let state = match (user.disabled, user.has_password) {
            (true, _) => "disabled",
            (false, false) => "has no password yet",
            (false, true) => "",
        };
        let failed = user.failed_sign_ins.to_string();
        vec![user.name, user.role, user.email.unwrap_or_default(), user.created_at, failed, state.to_owned()]
    };
    let rows: Vec<_> = std::iter::once(head).chain(users.into_iter().map(row)).collect();
    output::table(&rows)
}

fn code(session: &Session, code: &Code) -> Result<(), Failure> {
    if session.json {
        return output::json(code);
    }
    output::line(&code.code)?;
    output::note(&format!(
        "whoever has this chooses the password, once, until {}: datamesh login NAME --code",
        code.expires_at
    ));
    Ok(())
}

fn changed(session: &Session, user: &User) -> Result<(), Failure> {
    if session.json {
        return output::json(user);
    }
    let state = if user.disabled { "disabled" } else { "enabled" };
    output::line(&format!("{} is {} and {state}", user.name, user.role))
}

fn email(session: &Session, user: &User) -> Result<(), Failure> {
    if session.json {
        return output::json(user);
    }
    output::line(&match &user.email {
        Some(email) => format!("mail reaches {} at {email}", user.name),
        None => format!("mail reaches {} nowhere", user.name),
    })
}

fn done(session: &Session, name: &str, what: &str) -> Result<(), Failure> {
    if session.json {
        return output::json(&json!({ "name": name, "done": what }));
    }
    output::line(&format!("{name} is {what}"))
}
