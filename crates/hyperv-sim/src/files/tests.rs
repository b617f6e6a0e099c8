//! Scenes of requests, each made to happen.

use dpif::Dpif;
use ndis_sys::{NdisSwitchNicTypeSynthetic, NdisSwitchPortTypeSynthetic};
use odp::netlink::ids::{self, control_attr, control_cmd};

use super::*;
use crate::channel::Channel;
use crate::guest::Guest;
use crate::over_device::OverDevice;
use crate::scenario::{self, Place, Plan, nic_of, plug};

/// What was found to be over for a waiting request may still be told to it when its file's last handle is closed.
#[test]
fn a_file_may_be_closed_while_a_request_of_it_is_being_completed() {
    let plan = Plan { fail_one_in: 0, tunnel: None, ..Plan::of(1) };
    scenario::live(&plan, || {
        let image = scenario::begin();
        let channel = Channel::open().expect("memory is there");
        let subscribed = channel.write(ids::CONTROL, control_cmd::PACKET_SUBSCRIBE, |b| {
            b.put_u8(control_attr::PACKET_SUBSCRIBE, 1);
            b.put_u32(control_attr::PACKET_PID, channel.pid);
        });
        assert_eq!(subscribed, Ok(()));
        let datapath = OverDevice::new(Channel::open().expect("memory is there"), channel.pid);
        let (name, port, index) = ("vm1", 11, 0);
        let (port_kind, nic_kind) = (NdisSwitchPortTypeSynthetic, NdisSwitchNicTypeSynthetic);
        let place = Place { name, port, port_kind, index, nic_kind };
        plug(&place, [2, 0, 0, 0, 0, 1]);
        datapath.add_port(name, "system", None).expect("the adapter is there");

        // A wait that another processor ends, with a packet that nobody knows.
        let pending = channel.wait(control_cmd::PEND_PACKET);
        pending.hold();
        let mut guest = Guest::new(1, name, nic_of(&place), false, 1500);
        guest.is_connected = true;
        guest.transfer(2);
        with(|w| w.guests.push(guest));
        // By another one: here nothing may come in between.
        let level = set_level(DISPATCH_LEVEL);
        while !pending.is_being_completed() {
            reschedule();
        }
        set_level(level);
        assert!(!pending.is_over());
        channel.close();
        assert_eq!(pending.finish(), Ok(Vec::new()), "it was over, not cancelled");
        datapath.channel.close();
        scenario::finish(image);
    });
}
