//! `convert`: a file in another notation.

mod args;

use std::io::Write;

use ipvs::change::plan;
use ipvs::desired::{Problem, Scope, WriteOptions, write_json, write_toml};
use ipvs::{Command, DaemonRole, Timeouts};
use ipvs_text::escape;
use ipvs_text::ipvsadm::with_parser;
use ipvs_text::render;

use crate::change::offline::File;
use crate::change::prepare::{Text, empty_director};
use crate::desired::groups_of;
use crate::exit::Exit;
use crate::session::{Session, Trouble};
use crate::subcommands::args::Notation;

pub(super) use args::Convert;

pub(super) fn run(convert: &Convert, session: &mut Session<'_, '_>) -> Exit {
    let done = Text::read_from(session, &convert.file, &convert.foreign)
        .and_then(|text| File::of(session, text, convert.services_only));
    let done = done.and_then(|file| {
        let text = file.written(convert)?;
        session.display.end();
        // An error of writing is reported at the end of the run.
        let _ = session.environment.stdout.write_all(&text);
        Ok(Exit::Success)
    });
    session.finish(done, Exit::No)
}

impl File {
    /// In another notation: refused if that can't say the same.
    fn written(&self, convert: &Convert) -> Result<Vec<u8>, Trouble> {
        let without_place = |reason: &str, groups: fn(usize) -> bool| {
            let groups = self.desired.groups.iter().filter(|group| groups(group.rules.len()));
            groups.map(|group| Problem { place: group.place.clone(), reason: reason.to_owned() }).collect()
        };
        let problems: Vec<Problem> = match convert.notation.get() {
            Some(Notation::Rules) => without_place("rules of ipvsadm have no place for `group`", |_| true),
            _ => without_place("an empty `group` can't be written in another notation", |rules| rules == 0),
        };
        if !problems.is_empty() {
            return Err(Trouble::Problems(problems));
        }
        let groups = self.desired.groups.iter().flat_map(|group| groups_of(&group.rules)).collect::<Vec<_>>();
        let mut options = WriteOptions::default();
        (options.parts, options.timeouts, options.groups) = (self.desired.state.scope, Some(self.timeouts()), &groups);
        let mut text = match convert.notation.get() {
            // It has no comments.
            Some(Notation::Json) => Vec::new(),
            _ => self
                .text
                .notes
                .iter()
                .flat_map(|note| format!("# {}\n", escape::text(&note.to_string())).into_bytes())
                .collect(),
        };
        let written = match convert.notation.get() {
            Some(Notation::Json) => write_json(&mut text, &self.table, options),
            Some(Notation::Toml) => write_toml(&mut text, &self.table, options),
            Some(Notation::Rules) | None => self.write_rules(&mut text),
        };
        // Into memory.
        written.map_err(|error| Trouble::Other(error.to_string()))?;
        if self.is_written_as(&text) {
            return Ok(text);
        }
        let reason = "it can't be written in this notation without saying something else; \
            a list of sync daemons, for example, is complete in TOML and JSON: see --services-only";
        Err(Trouble::Other(format!("{}: {reason}", self.text.name())))
    }

    /// Does the text make the same of every director? Of mark rules only TOML and JSON speak.
    fn is_written_as(&self, text: &[u8]) -> bool {
        let read = with_parser(|parser| crate::desired::read("converted", text.to_vec(), parser));
        let Ok(desired) = read else { return false };
        let scope = Scope { marks: self.desired.state.scope.marks, ..desired.state.scope };
        let table = desired.state.table(&empty_director());
        scope == self.desired.state.scope && table.is_ok_and(|table| plan(&self.table, &table).is_empty())
    }

    /// Those that the file sets. To the kernel, 0 leaves one as it is.
    fn timeouts(&self) -> Timeouts {
        let given = |seconds: Option<u32>| seconds.filter(|seconds| *seconds != 0);
        let mut timeouts = Timeouts::default();
        for located in &self.desired.state.commands {
            if let Command::SetTimeouts(set) = &located.command {
                timeouts.tcp = given(set.tcp).or(timeouts.tcp);
                timeouts.tcp_fin = given(set.tcp_fin).or(timeouts.tcp_fin);
                timeouts.udp = given(set.udp).or(timeouts.udp);
            }
        }
        timeouts
    }

    fn write_rules(&self, out: &mut Vec<u8>) -> std::io::Result<()> {
        if self.desired.state.scope.services {
            out.extend_from_slice(b"-C\n");
        }
        if self.desired.state.scope.timeouts {
            writeln!(out, "{}", Command::SetTimeouts(self.timeouts()))?;
        }
        for role in
            [DaemonRole::Master, DaemonRole::Backup].into_iter().filter(|role| self.desired.state.scope.daemon(*role))
        {
            let running = self.table.daemons().iter().find(|daemon| daemon.role == role);
            writeln!(out, "{}", running.map_or(Command::StopDaemon(role), |daemon| Command::StartDaemon(*daemon)))?;
        }
        render::save::table(out, &self.table, None)
    }
}
