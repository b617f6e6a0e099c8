//! The ovs-vswitchd program.

/// Packets of ports of type afxdp lie where devices find them.
#[global_allocator]
static MEMORY: netdev_linux::PacketMemory = netdev_linux::PacketMemory;

fn main() -> std::process::ExitCode {
    vswitchd::main()
}
