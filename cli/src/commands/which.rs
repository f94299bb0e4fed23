//! The flags that say which clients a command is for.

use crate::failure::{Failure, Kind};
use crate::fleet::{Condition, Selection};

/// Which clients
#[derive(clap::Args, Debug)]
#[group(required = true, multiple = true)]
pub struct WhichArgs {
    /// One client
    #[arg(long, value_name = "NAME", conflicts_with_all = ["all", "conditions"])]
    client: Option<String>,
    /// All clients of the workspace
    #[arg(long, conflicts_with = "conditions")]
    all: bool,
    /// Clients with this KEY=VALUE: client, source, pipeline, project or region; `*` stands for anything
    #[arg(long = "where", value_name = "KEY=VALUE")]
    conditions: Vec<Condition>,
}

/// One client or many: the two are shown in their own ways.
#[derive(Debug)]
pub enum Which<'a> {
    One(&'a str),
    Many(Selection),
}

impl WhichArgs {
    /// The same, for a command to which one client is as many.
    pub fn selection(&self) -> Selection {
        match self.which() {
            Which::One(client) => Selection::One(client.to_owned()),
            Which::Many(selection) => selection,
        }
    }

    pub fn which(&self) -> Which<'_> {
        match (&self.client, self.all) {
            (Some(client), _) => Which::One(client),
            (None, true) => Which::Many(Selection::All),
            (None, false) => Which::Many(Selection::Where(self.conditions.clone())),
        }
    }
}

/// Refuses a flag that only makes sense for one client.
pub fn only_for_one(flag: &str, is_set: bool) -> Result<(), Failure> {
    match is_set {
        false => Ok(()),
        true => Err(Failure::new(
            Kind::Usage,
            format!("{flag} goes with one client: name it with --client"),
        )),
    }
}
