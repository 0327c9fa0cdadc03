//! What a route does, takes and gives, as the table of routes says it beside each.

use schemars::{JsonSchema, Schema, SchemaGenerator};

/// Gives the schema of a type.
pub(super) type Shape = fn(&mut SchemaGenerator) -> Schema;

/// What a body is.
#[derive(Clone, Copy)]
pub(super) enum Content {
    Nothing,
    Json(Shape),
    /// A line of JSON each.
    Lines(Shape),
    /// An object's bytes, of whatever type.
    Bytes,
    /// Bytes that go behind others.
    Appended,
    Html,
    Problem,
}

/// One way in which a route answers when all is well.
pub(super) struct Given {
    pub(super) status: u16,
    pub(super) content: Content,
    /// Headers it always has, besides those that all answers have.
    pub(super) headers: &'static [&'static str],
    /// Where one goes on from there.
    pub(super) links: Option<Links>,
}

/// Routes whose path has a parameter that an answer tells.
#[derive(Clone, Copy)]
pub(super) struct Links {
    pub(super) parameter: &'static str,
    /// Where in the answer it is, as a JSON pointer.
    pub(super) told: &'static str,
    /// As `GET /api/v1/…`, the path as the table of routes has it.
    pub(super) routes: &'static [&'static str],
}

/// One route, for whoever calls it.
pub(crate) struct Operation {
    pub(super) summary: &'static str,
    /// The type whose fields are the query's parameters.
    pub(super) query: Option<Shape>,
    /// Names of request headers that count.
    pub(super) headers: Vec<&'static str>,
    pub(super) body: Content,
    pub(super) body_is_needed: bool,
    pub(super) given: Vec<Given>,
    /// Whether clients may give it a key.
    pub(crate) is_done_once: bool,
    /// Whether its answers are compressed for clients that take that.
    pub(crate) is_compressed: bool,
}

fn shape<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// An operation that does this; what follows says how.
pub(crate) fn does(summary: &'static str) -> Operation {
    Operation {
        summary,
        query: None,
        headers: Vec::new(),
        body: Content::Nothing,
        body_is_needed: false,
        given: Vec::new(),
        is_done_once: false,
        is_compressed: false,
    }
}

impl Operation {
    /// The query's parameters are the fields of this type.
    pub(crate) fn asks<T: JsonSchema>(self) -> Self {
        Self { query: Some(shape::<T>), ..self }
    }

    /// The body is this.
    pub(crate) fn takes<T: JsonSchema>(self) -> Self {
        Self { body: Content::Json(shape::<T>), body_is_needed: true, ..self }
    }

    /// The body is this, or there is none.
    pub(crate) fn may_take<T: JsonSchema>(self) -> Self {
        Self { body: Content::Json(shape::<T>), ..self }
    }

    /// The body is an object's bytes.
    pub(crate) fn takes_bytes(self) -> Self {
        Self { body: Content::Bytes, body_is_needed: true, ..self }
    }

    /// The body is bytes that go behind others.
    pub(crate) fn takes_appended(self) -> Self {
        Self { body: Content::Appended, body_is_needed: true, ..self }
    }

    /// The same, or there is none.
    pub(crate) fn may_take_appended(self) -> Self {
        Self { body: Content::Appended, ..self }
    }

    /// Of the request these headers count.
    pub(crate) fn heeds(self, headers: &[&'static str]) -> Self {
        Self { headers: headers.to_vec(), ..self }
    }

    /// Clients may give it an `Idempotency-Key`: it makes something, and again would make another.
    pub(crate) fn once(mut self) -> Self {
        self.headers.push("Idempotency-Key");
        Self { is_done_once: true, ..self }
    }

    /// Its answers are text that shows no secret, and seldom short: clients that take it get them compressed.
    pub(crate) fn compressed(self) -> Self {
        Self { is_compressed: true, ..self }
    }

    /// Whether an answer of it must not be kept by anybody on its way.
    #[cfg(test)]
    pub(crate) fn shows_a_secret(&self) -> bool {
        self.given.iter().any(|given| given.headers.contains(&"Cache-Control"))
    }

    /// Whether an answer of it is an object's bytes.
    #[cfg(test)]
    pub(crate) fn gives_an_object(&self) -> bool {
        self.given.iter().any(|given| matches!(given.content, Content::Bytes))
    }

    fn given(mut self, status: u16, content: Content) -> Self {
        self.given.push(Given { status, content, headers: &[], links: None });
        self
    }

    /// It may answer with this.
    pub(crate) fn gives<T: JsonSchema>(self, status: u16) -> Self {
        self.given(status, Content::Json(shape::<T>))
    }

    /// It may answer with lines of this.
    pub(crate) fn gives_lines<T: JsonSchema>(self) -> Self {
        self.given(200, Content::Lines(shape::<T>))
    }

    /// It may answer with an object's bytes.
    pub(crate) fn gives_bytes(self, status: u16) -> Self {
        self.given(status, Content::Bytes)
    }

    /// It answers with a page.
    pub(crate) fn gives_a_page(self) -> Self {
        self.given(200, Content::Html)
    }

    /// It answers with a problem, whatever is asked.
    pub(crate) fn gives_a_problem(self, status: u16) -> Self {
        self.given(status, Content::Problem)
    }

    /// It may answer without a body.
    pub(crate) fn gives_nothing(self, status: u16) -> Self {
        self.given(status, Content::Nothing)
    }

    /// The answer that was named last always has these headers.
    pub(crate) fn with(mut self, headers: &'static [&'static str]) -> Self {
        if let Some(last) = self.given.last_mut() {
            last.headers = headers;
        }
        self
    }

    /// What the answer that was named last tells at `told` is the parameter of these routes, by which one goes on.
    pub(crate) fn leads_by(
        mut self,
        parameter: &'static str,
        told: &'static str,
        routes: &'static [&'static str],
    ) -> Self {
        if let Some(last) = self.given.last_mut() {
            last.links = Some(Links { parameter, told, routes });
        }
        self
    }
}
