//! Device control: TUN/TAP, and ethtool's requests.
//!
//! Where it sits: under `tap` and `ethtool`.
//!
//! Spec: netdevice(7), the kernel's networking/tuntap, linux/ethtool.h.
#![allow(unsafe_code)] // ioctl(2) with structs

use std::io;
use std::mem::zeroed;
use std::os::fd::{AsRawFd, BorrowedFd};

use libc::{Ioctl, c_int, c_short, c_uint, ifreq};

const TUNSETIFF: Ioctl = 0x4004_54ca;
const TUNGETIFF: Ioctl = 0x8004_54d2;
const TUNSETOFFLOAD: Ioctl = 0x4004_54d0;
const TUNSETVNETHDRSZ: Ioctl = 0x4004_54d8;
const SIOCETHTOOL: Ioctl = 0x8946;
const ETHTOOL_GDRVINFO: u32 = 3;
const ETHTOOL_GLINKSETTINGS: u32 = 0x4c;

/// 32-bit words of `struct ethtool_drvinfo`.
pub(crate) const DRIVER_INFO_WORDS: usize = 49;
/// 32-bit words of `struct ethtool_link_settings` without its masks.
pub(crate) const LINK_SETTINGS_WORDS: usize = 12;
/// The masks' words, three times the largest count that the kernel's signed byte can say.
const LINK_MASK_WORDS: usize = 3 * 127;

fn request(name: &str) -> io::Result<ifreq> {
    // SAFETY: ifreq is a byte array and a union of integers, addresses and a pointer; zero is a value of each.
    let mut request: ifreq = unsafe { zeroed() };
    let room = request.ifr_name.len() - 1;
    if name.is_empty() || name.len() > room || name.contains('\0') {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    Ok(request)
}

fn done(rc: c_int) -> io::Result<()> {
    if rc < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Makes, or attaches to, the device `name` on an open `/dev/net/tun`.
pub(crate) fn tun_attach(fd: BorrowedFd<'_>, name: &str, flags: c_int) -> io::Result<()> {
    let mut request = request(name)?;
    request.ifr_ifru.ifru_flags = flags as c_short;
    // SAFETY: TUNSETIFF reads and writes one ifreq, which lives over the call.
    done(unsafe { libc::ioctl(fd.as_raw_fd(), TUNSETIFF, &raw mut request) })
}

/// With which flags the device was made.
pub(crate) fn tun_flags(fd: BorrowedFd<'_>) -> io::Result<c_int> {
    // SAFETY: zero is an ifreq, as above; TUNGETIFF writes one, which lives over the call, and of its union the flags.
    unsafe {
        let mut request: ifreq = zeroed();
        done(libc::ioctl(fd.as_raw_fd(), TUNGETIFF, &raw mut request))?;
        Ok(request.ifr_ifru.ifru_flags.into())
    }
}

/// Says how long the header before each frame is.
pub(crate) fn tun_set_header_size(fd: BorrowedFd<'_>, len: usize) -> io::Result<()> {
    let len = len as c_int;
    // SAFETY: TUNSETVNETHDRSZ reads one int, which lives over the call.
    done(unsafe { libc::ioctl(fd.as_raw_fd(), TUNSETVNETHDRSZ, &raw const len) })
}

/// Says which offloads we take from the device's stack.
pub(crate) fn tun_set_offload(fd: BorrowedFd<'_>, bits: c_uint) -> io::Result<()> {
    // SAFETY: TUNSETOFFLOAD takes its argument as a number.
    done(unsafe { libc::ioctl(fd.as_raw_fd(), TUNSETOFFLOAD, libc::c_ulong::from(bits)) })
}

fn ethtool(socket: BorrowedFd<'_>, name: &str, words: &mut [u32]) -> io::Result<()> {
    let mut request = request(name)?;
    request.ifr_ifru.ifru_data = words.as_mut_ptr().cast();
    // SAFETY: SIOCETHTOOL reads and writes the struct of the command in the first word; both callers pass an array
    // that is at least as long as their command's struct, and it is borrowed over the call.
    done(unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL, &raw mut request) })
}

/// `struct ethtool_drvinfo` of a device.
pub(crate) fn driver_info(socket: BorrowedFd<'_>, name: &str) -> io::Result<[u32; DRIVER_INFO_WORDS]> {
    let mut words = [0; DRIVER_INFO_WORDS];
    words[0] = ETHTOOL_GDRVINFO;
    ethtool(socket, name, &mut words)?;
    Ok(words)
}

/// `struct ethtool_link_settings` of a device with its masks: the settings, then three masks of `n` words.
pub(crate) fn link_settings(socket: BorrowedFd<'_>, name: &str) -> io::Result<(Vec<u32>, usize)> {
    /// The word, and the byte in it, that say how many words a mask has.
    fn count(words: &[u32]) -> i8 {
        words[3].to_ne_bytes()[3] as i8
    }
    let mut words = vec![0; LINK_SETTINGS_WORDS + LINK_MASK_WORDS];
    words[0] = ETHTOOL_GLINKSETTINGS;
    // First the kernel answers how long its masks are (negated), then it fills them.
    ethtool(socket, name, &mut words)?;
    let n = count(&words).checked_neg().filter(|n| *n > 0).ok_or(io::ErrorKind::Unsupported)?;
    words.fill(0);
    words[0] = ETHTOOL_GLINKSETTINGS;
    words[3] = u32::from_ne_bytes([0, 0, 0, n as u8]);
    ethtool(socket, name, &mut words)?;
    Ok((words, n as usize))
}
