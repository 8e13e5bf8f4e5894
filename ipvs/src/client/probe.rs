//! Asking the running kernel for what no table has, by requests that change nothing.

use std::{panic, thread};

use crate::client::Client;
use crate::command::Command;
use crate::error::Error;
use crate::kernel::Behaviors;
use crate::name::Scheduler;
use crate::netns::NamespaceError;
use crate::service::{Family, FirewallMark, Service, ServiceKey};
use crate::session::block_on_ready;
use crate::table::Table;
use crate::unshare::enter_new_network;

impl Behaviors {
    /// What the running kernel does, found out by trying.
    ///
    /// This happens on a thread of its own in a new network namespace, which ends with the thread:
    /// no director changes. It needs `CAP_SYS_ADMIN` for the namespace beside the `CAP_NET_ADMIN`
    /// of every [`Client`]. Without it there is [`of_running_version`](Self::of_running_version).
    ///
    /// ```no_run
    /// use ipvs::{Behaviors, Table};
    /// let behaviors = Behaviors::probe().unwrap_or_else(|_| Behaviors::of_running_version());
    /// let like_this_machine = Table::new().with_behaviors(behaviors);
    /// ```
    ///
    /// # Errors
    /// [`NamespaceError::Create`] if there can be no new network namespace, or those of
    /// [`Client::connect`].
    pub fn probe() -> Result<Self, Error> {
        let prober = thread::Builder::new().name("ipvs-probe".into()).spawn(probe_in_new_network);
        let probed = prober.map_err(NamespaceError::Create)?.join();
        probed.unwrap_or_else(|panicked| panic::resume_unwind(panicked))
    }
}

fn probe_in_new_network() -> Result<Behaviors, Error> {
    enter_new_network().map_err(NamespaceError::Create)?;
    let mut client = Client::connect()?;
    let mut behaviors = Behaviors::of_running_version();
    behaviors.set(Behaviors::CONNECTION_TABLE_ON_DEMAND, client.info()?.connection_table_size == 0);
    let mark = FirewallMark::new(1).expect("1 is a mark");
    // A scheduler would be a module, and loading one while a namespace ends can hang kernels before
    // Linux 7.
    let service = Service::new(ServiceKey::Mark { mark, family: Family::V4 }).with_scheduler(Scheduler::NONE);
    client.add_service(&service)?;
    if let Some(is_signed) = block_on_ready(client.session.has_signed_upper_threshold(&service.key()))? {
        behaviors.set(Behaviors::SIGNED_UPPER_THRESHOLD, is_signed);
    }
    if let Some(are_kept) = block_on_ready(client.session.has_tunnel_kinds(&service.key()))? {
        behaviors.set(Behaviors::TUNNEL_KINDS, are_kept);
    }
    Ok(behaviors)
}

impl Client {
    /// Asks the kernel for what decides over these commands and is in no table: whether it has
    /// their schedulers and persistence engines, of those that the table [does not know
    /// about](Table), whether it refuses upper thresholds above 2,147,483,647, whether it keeps
    /// kinds of tunnels, and, if the table has no service yet, whether the network namespace has an
    /// address, without which the kernel takes no destination of IPv4. The replies become part of
    /// the table, which then refuses what the kernel would refuse.
    ///
    /// This changes nothing but that the kernel loads a module that it is asked for. Where the
    /// kernel can't be asked (it has no IPVS for IPv6, or there is no service yet to ask about
    /// thresholds and tunnels), the table stays as it was. What is plainly known costs no request.
    ///
    /// ```
    /// use ipvs::{Client, Command, Scheduler, Service, Table};
    /// let mut director = Client::fake(Table::new());
    /// let mut table = director.table()?;
    /// let add = Command::AddService(
    ///     Service::new("mark 1".parse()?).with_scheduler(Scheduler::new("unheard-of")?),
    /// );
    /// assert_eq!(table.explain(&add), None, "nobody has asked the kernel");
    /// director.probe(&mut table, [&add])?;
    /// assert!(
    ///     table
    ///         .explain(&add)
    ///         .unwrap()
    ///         .to_string()
    ///         .starts_with("the kernel says that it has no scheduler unheard-of")
    /// );
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// See [`Error`]; nothing was changed.
    pub fn probe<'c>(
        &mut self,
        table: &mut Table,
        commands: impl IntoIterator<Item = &'c Command>,
    ) -> Result<(), Error> {
        block_on_ready(self.session.probe(table, commands))
    }
}
