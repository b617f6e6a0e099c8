//! How an operation on the device fails, and the error numbers inside replies.
//!
//! Where it sits: [`Status`] is what a carrier gives its caller (an NTSTATUS of DeviceIoControl, a number of the socket);
//! [`Errno`] is what the sender of a request reads in an `NLMSG_ERROR` message of an operation that succeeded.
//!
//! Spec: ovsext 1.3 to 1.6. Error numbers from 100 on are those of Microsoft's C library, on every host: the interface is one.

/// Why an operation failed as a whole: nothing was done, and there is no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// The message is none that this operation takes (`STATUS_INVALID_PARAMETER`).
    InvalidParameter,
    /// A buffer is too small for what it has to hold (`STATUS_NDIS_INVALID_LENGTH`).
    InvalidLength,
    /// There is no such operation (`STATUS_INVALID_DEVICE_REQUEST`).
    InvalidRequest,
    /// The handle is not open (`STATUS_INVALID_HANDLE`).
    InvalidHandle,
    /// The switch is gone for now; the device stays, and operations work again when it returns (`STATUS_DEVICE_NOT_READY`).
    NotReady,
    /// Memory is short, or all handles are in use (`STATUS_INSUFFICIENT_RESOURCES`).
    NoResources,
    /// A wait was given up (`STATUS_CANCELLED`).
    Cancelled,
}

impl Status {
    /// Every status with its number on carriers that have no numbers of their own: that of NTSTATUS.
    const NUMBERS: [(Status, u32); 7] = [
        (Status::InvalidParameter, 0xc000_000d),
        (Status::InvalidLength, 0xc023_0014),
        (Status::InvalidRequest, 0xc000_0010),
        (Status::InvalidHandle, 0xc000_0008),
        (Status::NotReady, 0xc000_00a3),
        (Status::NoResources, 0xc000_009a),
        (Status::Cancelled, 0xc000_0120),
    ];

    /// Its number as an NTSTATUS.
    pub fn ntstatus(self) -> u32 {
        Self::NUMBERS.iter().find(|(s, _)| *s == self).map_or(0, |(_, n)| *n)
    }

    /// The status of an NTSTATUS; `None` for zero (success) and for numbers that the device does not give.
    pub fn from_ntstatus(n: u32) -> Option<Status> {
        Self::NUMBERS.iter().find(|(_, number)| *number == n).map(|(s, _)| *s)
    }
}

impl core::fmt::Display for Status {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Status::InvalidParameter => "invalid parameter",
            Status::InvalidLength => "invalid buffer length",
            Status::InvalidRequest => "invalid device request",
            Status::InvalidHandle => "invalid handle",
            Status::NotReady => "the switch is not there",
            Status::NoResources => "insufficient resources",
            Status::Cancelled => "cancelled",
        })
    }
}

impl core::error::Error for Status {}

/// The error number in a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Errno {
    /// Not permitted (`EPERM`).
    Perm = 1,
    /// There is no such flow, zone or connection.
    NoEnt = 2,
    /// Too many actions for a message.
    TooBig = 7,
    /// Memory is short.
    NoMem = 12,
    /// Not allowed (`EACCES`).
    Access = 13,
    /// In use.
    Busy = 16,
    /// It exists.
    Exist = 17,
    /// There is no such port or datapath.
    NoDev = 19,
    /// The request makes no sense.
    Inval = 22,
    /// The system has no file descriptor left (`ENFILE`).
    NFile = 23,
    /// The host of the ports has no file descriptor left (`EMFILE`).
    MFile = 24,
    /// The table is full.
    FBig = 27,
    /// No room.
    NoSpc = 28,
    /// A message with a bad part (`EBADMSG`).
    BadMsg = 104,
    /// No buffer space (`ENOBUFS`).
    NoBufs = 119,
    /// A message without what it needs (`ENOMSG`).
    NoMsg = 122,
    /// Not supported (`ENOTSUP`).
    NotSup = 129,
    /// Anything else (`EOTHER`).
    Other = 131,
}

impl Errno {
    const ALL: [Errno; 18] = [
        Errno::Perm,
        Errno::NoEnt,
        Errno::TooBig,
        Errno::NoMem,
        Errno::Access,
        Errno::Busy,
        Errno::Exist,
        Errno::NoDev,
        Errno::Inval,
        Errno::NFile,
        Errno::MFile,
        Errno::FBig,
        Errno::NoSpc,
        Errno::BadMsg,
        Errno::NoBufs,
        Errno::NoMsg,
        Errno::NotSup,
        Errno::Other,
    ];

    /// The number, positive; replies carry it negated.
    pub const fn number(self) -> i32 {
        self as i32
    }

    /// The error of a positive number; what the device does not give is [`Errno::Other`].
    pub fn from_number(n: i32) -> Errno {
        Self::ALL.into_iter().find(|e| e.number() == n).unwrap_or(Errno::Other)
    }
}

impl core::fmt::Display for Errno {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Errno::Perm => "Operation not permitted",
            Errno::Access => "Permission denied",
            Errno::NFile => "Too many open files in system",
            Errno::MFile => "Too many open files",
            Errno::NoEnt => "No such file or directory",
            Errno::TooBig => "Argument list too long",
            Errno::NoMem => "Cannot allocate memory",
            Errno::Busy => "Device or resource busy",
            Errno::Exist => "File exists",
            Errno::NoDev => "No such device",
            Errno::Inval => "Invalid argument",
            Errno::FBig => "File too large",
            Errno::NoSpc => "No space left on device",
            Errno::BadMsg => "Bad message",
            Errno::NoBufs => "No buffer space available",
            Errno::NoMsg => "No message of desired type",
            Errno::NotSup => "Operation not supported",
            Errno::Other => "Unknown error",
        })
    }
}

impl core::error::Error for Errno {}
