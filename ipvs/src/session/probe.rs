//! Asking the running kernel for what no table has, by requests that change nothing.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::cause::Cause;
use crate::command::Command;
use crate::destination::{Destination, Forwarding, Tunnel, TunnelFlags};
use crate::errno::Errno;
use crate::error::Error;
use crate::kernel::Behaviors;
use crate::name::{Module, Scheduler};
use crate::netns::NamespaceError;
use crate::service::{Family, Netmask, Protocol, Service, ServiceKey};
use crate::session::{Session, Transport};
use crate::table::Table;

/// After as many refusals nobody needs another, and each costs the kernel a search for a module.
const MOST_MISSING: usize = 10;

impl<C: Transport> Session<C> {
    pub(crate) async fn probe<'c>(
        &mut self,
        table: &mut Table,
        commands: impl IntoIterator<Item = &'c Command>,
    ) -> Result<(), Error> {
        let (mut modules, mut has_high_threshold, mut has_tunnel_kind) = (BTreeSet::new(), false, false);
        let mut server = None;
        let mut paced = self.paced();
        for command in commands {
            paced.step(1).await;
            let needed = command.service().into_iter().flat_map(Service::modules);
            modules.extend(needed.filter(|module| table.has_module(*module).is_none()));
            has_high_threshold |= command.destination().is_some_and(|asked| asked.upper_threshold > i32::MAX as u32);
            has_tunnel_kind |= command.destination().is_some_and(|asked| asked.tunnel_with_kind().is_some());
            if let Command::AddDestination(_, Destination { address: SocketAddr::V4(address), .. }) = command {
                server = Some(*address.ip());
            }
        }
        // With a service, there most probably is a network.
        if let Some(server) = server.filter(|_| table.services().next().is_none()) {
            let why_not = self.transport.link().why_no_host(server);
            // If it can't be asked, the kernel decides when it is told to add the destination.
            if let Err(error @ NamespaceError::Leave { .. }) = why_not {
                return Err(error.into());
            }
            table.learn_network(!matches!(why_not, Ok(Some(Cause::NoNetwork))));
        }
        self.probe_modules(table, modules).await?;
        let service = table.services().next().map(|entry| entry.service().key());
        let Some(service) = service else { return Ok(()) };
        if has_high_threshold {
            if let Some(is_signed) = self.has_signed_upper_threshold(&service).await? {
                table.learn_behavior(Behaviors::SIGNED_UPPER_THRESHOLD, is_signed);
            }
        }
        if has_tunnel_kind {
            if let Some(are_kept) = self.has_tunnel_kinds(&service).await? {
                table.learn_behavior(Behaviors::TUNNEL_KINDS, are_kept);
            }
        }
        Ok(())
    }

    /// Asks for each of these, whatever the table knows about it.
    pub(crate) async fn probe_modules(
        &mut self,
        table: &mut Table,
        modules: impl IntoIterator<Item = Module>,
    ) -> Result<(), Error> {
        let mut missing = 0;
        for module in modules {
            if let Some(is_there) = self.has_module(module).await? {
                table.learn_module(module, is_there);
                missing += usize::from(!is_there);
            }
            if missing == MOST_MISSING {
                break;
            }
        }
        Ok(())
    }

    /// Does the kernel have this scheduler or persistence engine? `None`: it can't be asked.
    ///
    /// Before the kernel looks at the prefix length of a new IPv6 service it looks for its
    /// scheduler, and then for its engine. So of one whose prefix length is impossible it says
    /// either that a module is missing, or that the length is wrong. (`ip_vs_add_service`.)
    async fn has_module(&mut self, module: Module) -> Result<Option<bool>, Error> {
        let key =
            ServiceKey::Address { protocol: Protocol::RESERVED, at: SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)) };
        let service = match module {
            Module::Scheduler(scheduler) => Service::new(key).with_scheduler(scheduler),
            Module::Engine(engine) => Service::new(key).with_scheduler(Scheduler::NONE).with_engine(engine),
        };
        let service = service.with_netmask(Netmask::from_kernel_v6(0)).expect("both are IPv6");
        match self.try_command(&Command::AddService(service)).await? {
            Err(refusal) => Ok(match refusal.errno {
                Errno::ENOENT => Some(false),
                Errno::EINVAL => Some(true),
                _ => None,
            }),
            // No Linux does this; if one ever does, it shall not be left there.
            Ok(()) => {
                let _ = self.try_command(&Command::DeleteService(key)).await?;
                Ok(Some(true))
            }
        }
    }

    /// Is an upper threshold above 2,147,483,647 refused? `None`: not known, as without this
    /// service.
    pub(crate) async fn has_signed_upper_threshold(&mut self, service: &ServiceKey) -> Result<Option<bool>, Error> {
        self.refuses_edit(service, |nowhere| Destination { upper_threshold: 1 << 31, ..nowhere }).await
    }

    /// Does the kernel know kinds of tunnels, and so refuse gue without a port? `None`: not known,
    /// as without this service.
    pub(crate) async fn has_tunnel_kinds(&mut self, service: &ServiceKey) -> Result<Option<bool>, Error> {
        const GUE: u8 = 1;
        let without_port = Tunnel::from_numbers(GUE, 0, TunnelFlags::empty());
        self.refuses_edit(service, |nowhere| nowhere.with_forwarding(Forwarding::Tunnel(without_port))).await
    }

    /// Does the kernel refuse the values of this destination with `EINVAL`?
    ///
    /// It checks them before it looks for the destination to be edited, and there is none at
    /// 0.0.0.0 or :: because it refuses to add such a one: the request can't change anything.
    async fn refuses_edit(
        &mut self,
        service: &ServiceKey,
        asked: impl FnOnce(Destination) -> Destination,
    ) -> Result<Option<bool>, Error> {
        let nowhere: IpAddr = match service.family() {
            Family::V4 => Ipv4Addr::UNSPECIFIED.into(),
            Family::V6 => Ipv6Addr::UNSPECIFIED.into(),
        };
        let asked = asked(Destination::new((nowhere, 0).into()));
        let outcome = self.try_command(&Command::EditDestination(*service, asked)).await?;
        Ok(match outcome.err().map(|refusal| refusal.errno) {
            Some(Errno::EINVAL) => Some(true),
            Some(Errno::ENOENT) => Some(false),
            _ => None,
        })
    }
}

#[cfg(test)]
#[path = "probe_tests.rs"]
mod tests;
