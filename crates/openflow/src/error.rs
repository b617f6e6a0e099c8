//! Every error that OpenFlow can carry, with its numbers in each version.
//!
//! Where it sits: decoders and the switch return an [`OfpError`]; the error message's codec asks it for the numbers
//! of the connection's version. Variants have the names of the specifications, which logs and tools print.
//!
//! An error is `type, code` where the version has it; else a vendor's: in 1.0 and 1.1 with type and code of the
//! vendor's, from 1.2 with one number. An error without a form in a version is sent as `NXBRC_UNENCODABLE_ERROR`.
//!
//! The table is long because it is the table.

use crate::Version;

/// Nicira's vendor number.
pub const NX_VENDOR: u32 = 0x0000_2320;
/// The Open Networking Foundation's vendor number.
pub const ONF_VENDOR: u32 = 0x4f4e_4600;

/// The numbers of an error in one version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorCode {
    /// Of the specification itself.
    Standard {
        /// The error's type.
        kind: u16,
        /// Its code.
        code: u16,
    },
    /// A vendor's, in 1.0 and 1.1.
    Vendor {
        /// The vendor.
        vendor: u32,
        /// The vendor's type.
        kind: u16,
        /// The vendor's code.
        code: u16,
    },
    /// A vendor's, in 1.2 and later.
    Experimenter {
        /// The vendor.
        vendor: u32,
        /// The vendor's number.
        kind: u16,
    },
}

macro_rules! code {
    (-) => {
        None
    };
    (($kind:literal, $code:literal)) => {
        Some(ErrorCode::Standard { kind: $kind, code: $code })
    };
    (NX($kind:literal, $code:literal)) => {
        Some(ErrorCode::Vendor { vendor: NX_VENDOR, kind: $kind, code: $code })
    };
    (NX($kind:literal)) => {
        Some(ErrorCode::Experimenter { vendor: NX_VENDOR, kind: $kind })
    };
    (ONF($kind:literal)) => {
        Some(ErrorCode::Experimenter { vendor: ONF_VENDOR, kind: $kind })
    };
}

macro_rules! errors {
    ($($name:ident: [$($codes:tt)*];)+) => {
        /// An error of OpenFlow, under its name in the specifications.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[allow(non_camel_case_types, missing_docs, reason = "these are the specifications' names")]
        pub enum OfpError {
            $($name,)+
        }

        impl OfpError {
            /// Every error.
            pub const ALL: &[OfpError] = &[$(OfpError::$name),+];

            /// Its name.
            pub const fn name(self) -> &'static str {
                match self {
                    $(OfpError::$name => stringify!($name),)+
                }
            }

            const fn codes(self) -> [Option<ErrorCode>; 6] {
                match self {
                    $(OfpError::$name => codes![$($codes)*],)+
                }
            }
        }
    };
}

macro_rules! codes {
    (@ [$($done:expr),*] ) => { [$($done),*] };
    (@ [$($done:expr),*] - $(, $($rest:tt)*)?) => { codes!(@ [$($done,)* code!(-)] $($($rest)*)?) };
    (@ [$($done:expr),*] $v:ident $n:tt $(, $($rest:tt)*)?) => {
        codes!(@ [$($done,)* code!($v $n)] $($($rest)*)?)
    };
    (@ [$($done:expr),*] $n:tt $(, $($rest:tt)*)?) => { codes!(@ [$($done,)* code!($n)] $($($rest)*)?) };
    ($($all:tt)*) => { codes!(@ [] $($all)*) };
}

#[rustfmt::skip]
errors! {
    OFPHFC_INCOMPATIBLE: [(0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0)];
    OFPHFC_EPERM: [(0, 1), (0, 1), (0, 1), (0, 1), (0, 1), (0, 1)];
    OFPBRC_BAD_VERSION: [(1, 0), (1, 0), (1, 0), (1, 0), (1, 0), (1, 0)];
    OFPBRC_BAD_TYPE: [(1, 1), (1, 1), (1, 1), (1, 1), (1, 1), (1, 1)];
    OFPBRC_BAD_STAT: [(1, 2), (1, 2), (1, 2), (1, 2), (1, 2), (1, 2)];
    OFPBRC_BAD_VENDOR: [(1, 3), (1, 3), (1, 3), (1, 3), (1, 3), (1, 3)];
    OFPBRC_BAD_SUBTYPE: [(1, 4), (1, 4), (1, 4), (1, 4), (1, 4), (1, 4)];
    OFPBRC_EPERM: [(1, 5), (1, 5), (1, 5), (1, 5), (1, 5), (1, 5)];
    OFPBRC_BAD_LEN: [(1, 6), (1, 6), (1, 6), (1, 6), (1, 6), (1, 6)];
    OFPBRC_BUFFER_EMPTY: [(1, 7), (1, 7), (1, 7), (1, 7), (1, 7), (1, 7)];
    OFPBRC_BUFFER_UNKNOWN: [(1, 8), (1, 8), (1, 8), (1, 8), (1, 8), (1, 8)];
    OFPBRC_BAD_PACKET: [-, -, (1, 12), (1, 12), (1, 12), (1, 12)];
    OFPBRC_MULTIPART_BUFFER_OVERFLOW: [-, -, -, (1, 13), (1, 13), (1, 13)];
    OFPBRC_MULTIPART_BAD_SCHED: [-, -, -, -, -, (1, 16)];
    OFPBRC_PIPELINE_FIELDS_ONLY: [-, -, -, -, -, (1, 17)];
    OFPBRC_UNKNOWN: [-, -, -, -, -, (1, 18)];
    OFPBRC_BAD_TABLE_ID: [NX(1, 512), (1, 9), (1, 9), (1, 9), (1, 9), (1, 9)];
    OFPBRC_IS_SECONDARY: [(1, 5), (1, 5), (1, 10), (1, 10), (1, 10), (1, 10)];
    OFPBRC_BAD_PORT: [NX(1, 514), NX(1, 514), (1, 11), (1, 11), (1, 11), (1, 11)];
    OFPBRC_MULTIPART_REQUEST_TIMEOUT: [-, -, -, ONF(2640), (1, 14), (1, 14)];
    OFPBRC_MULTIPART_REPLY_TIMEOUT: [-, -, -, ONF(2641), (1, 15), (1, 15)];
    NXBRC_NXM_INVALID: [NX(1, 256), NX(1, 256), NX(2), NX(2), NX(2), NX(2)];
    NXBRC_NXM_BAD_TYPE: [NX(1, 257), NX(1, 257), NX(3), NX(3), NX(3), NX(3)];
    NXBRC_MUST_BE_ZERO: [NX(1, 515), NX(1, 515), NX(4), NX(4), NX(4), NX(4)];
    NXBRC_BAD_REASON: [NX(1, 516), NX(1, 516), NX(5), NX(5), NX(5), NX(5)];
    NXBRC_FM_BAD_EVENT: [NX(1, 520), NX(1, 520), NX(9), NX(9), NX(9), NX(9)];
    NXBRC_UNENCODABLE_ERROR: [NX(1, 521), NX(1, 521), NX(10), NX(10), NX(10), NX(10)];
    OFPBAC_BAD_TYPE: [(2, 0), (2, 0), (2, 0), (2, 0), (2, 0), (2, 0)];
    OFPBAC_BAD_LEN: [(2, 1), (2, 1), (2, 1), (2, 1), (2, 1), (2, 1)];
    OFPBAC_BAD_VENDOR: [(2, 2), (2, 2), (2, 2), (2, 2), (2, 2), (2, 2)];
    OFPBAC_BAD_VENDOR_TYPE: [(2, 3), (2, 3), (2, 3), (2, 3), (2, 3), (2, 3)];
    OFPBAC_BAD_OUT_PORT: [(2, 4), (2, 4), (2, 4), (2, 4), (2, 4), (2, 4)];
    OFPBAC_BAD_ARGUMENT: [(2, 5), (2, 5), (2, 5), (2, 5), (2, 5), (2, 5)];
    OFPBAC_EPERM: [(2, 6), (2, 6), (2, 6), (2, 6), (2, 6), (2, 6)];
    OFPBAC_TOO_MANY: [(2, 7), (2, 7), (2, 7), (2, 7), (2, 7), (2, 7)];
    OFPBAC_BAD_QUEUE: [(2, 8), (2, 8), (2, 8), (2, 8), (2, 8), (2, 8)];
    OFPBAC_UNSUPPORTED_ORDER: [-, (2, 11), (2, 11), (2, 11), (2, 11), (2, 11)];
    OFPBAC_BAD_TAG: [-, (2, 12), (2, 12), (2, 12), (2, 12), (2, 12)];
    OFPBAC_BAD_METER: [-, -, -, -, -, (2, 17)];
    OFPBAC_BAD_OUT_GROUP: [NX(2, 9), (2, 9), (2, 9), (2, 9), (2, 9), (2, 9)];
    OFPBAC_MATCH_INCONSISTENT: [NX(1, 522), (2, 10), (2, 10), (2, 10), (2, 10), (2, 10)];
    OFPBAC_BAD_SET_TYPE: [NX(1, 523), NX(1, 523), (2, 13), (2, 13), (2, 13), (2, 13)];
    OFPBAC_BAD_SET_LEN: [NX(1, 524), NX(1, 524), (2, 14), (2, 14), (2, 14), (2, 14)];
    OFPBAC_BAD_SET_ARGUMENT: [NX(1, 525), NX(1, 525), (2, 15), (2, 15), (2, 15), (2, 15)];
    OFPBAC_BAD_SET_MASK: [-, -, -, ONF(4250), ONF(4250), (2, 16)];
    NXBAC_MUST_BE_ZERO: [NX(2, 256), NX(2, 256), NX(11), NX(11), NX(11), NX(11)];
    NXBAC_BAD_CONJUNCTION: [NX(2, 526), NX(2, 526), NX(15), NX(15), NX(15), NX(15)];
    NXBAC_BAD_HEADER_TYPE: [-, -, -, NX(39), NX(39), NX(39)];
    NXBAC_UNKNOWN_ED_PROP: [-, -, -, NX(40), NX(40), NX(40)];
    NXBAC_BAD_ED_PROP: [-, -, -, NX(41), NX(41), NX(41)];
    NXBAC_CT_DATAPATH_SUPPORT: [NX(1, 265), NX(1, 265), NX(42), NX(42), NX(42), NX(42)];
    OFPBIC_UNKNOWN_INST: [-, (3, 0), (3, 0), (3, 0), (3, 0), (3, 0)];
    OFPBIC_BAD_TABLE_ID: [-, (3, 2), (3, 2), (3, 2), (3, 2), (3, 2)];
    OFPBIC_UNSUP_METADATA: [-, (3, 3), (3, 3), (3, 3), (3, 3), (3, 3)];
    OFPBIC_UNSUP_METADATA_MASK: [-, (3, 4), (3, 4), (3, 4), (3, 4), (3, 4)];
    OFPBIC_BAD_EXPERIMENTER: [-, (3, 5), (3, 5), (3, 5), (3, 5), (3, 5)];
    OFPBIC_BAD_LEN: [-, -, (3, 7), (3, 7), (3, 7), (3, 7)];
    OFPBIC_EPERM: [-, -, (3, 8), (3, 8), (3, 8), (3, 8)];
    OFPBIC_UNSUP_INST: [NX(2, 257), (3, 1), (3, 1), (3, 1), (3, 1), (3, 1)];
    OFPBIC_BAD_EXP_TYPE: [-, (3, 5), (3, 6), (3, 6), (3, 6), (3, 6)];
    OFPBIC_DUP_INST: [-, NX(3, 256), ONF(2600), ONF(2600), (3, 9), (3, 9)];
    OFPBMC_BAD_TYPE: [-, (4, 0), (4, 0), (4, 0), (4, 0), (4, 0)];
    OFPBMC_BAD_LEN: [-, (4, 1), (4, 1), (4, 1), (4, 1), (4, 1)];
    OFPBMC_BAD_TAG: [-, (4, 2), (4, 2), (4, 2), (4, 2), (4, 2)];
    OFPBMC_BAD_DL_ADDR_MASK: [-, (4, 3), (4, 3), (4, 3), (4, 3), (4, 3)];
    OFPBMC_BAD_NW_ADDR_MASK: [-, (4, 4), (4, 4), (4, 4), (4, 4), (4, 4)];
    OFPBMC_EPERM: [-, -, (4, 11), (4, 11), (4, 11), (4, 11)];
    OFPBMC_BAD_WILDCARDS: [NX(1, 262), (4, 5), (4, 5), (4, 5), (4, 5), (4, 5)];
    OFPBMC_BAD_FIELD: [NX(0, 263), (4, 6), (4, 6), (4, 6), (4, 6), (4, 6)];
    OFPBMC_BAD_VALUE: [NX(1, 258), (4, 7), (4, 7), (4, 7), (4, 7), (4, 7)];
    OFPBMC_BAD_MASK: [NX(1, 259), NX(1, 259), (4, 8), (4, 8), (4, 8), (4, 8)];
    OFPBMC_BAD_PREREQ: [NX(1, 260), NX(1, 260), (4, 9), (4, 9), (4, 9), (4, 9)];
    OFPBMC_DUP_FIELD: [NX(1, 261), NX(1, 261), (4, 10), (4, 10), (4, 10), (4, 10)];
    NXBMC_CT_DATAPATH_SUPPORT: [NX(1, 264), NX(1, 264), NX(43), NX(43), NX(43), NX(43)];
    OFPFMFC_UNKNOWN: [-, (5, 0), (5, 0), (5, 0), (5, 0), (5, 0)];
    OFPFMFC_BAD_TABLE_ID: [-, (5, 2), (5, 2), (5, 2), (5, 2), (5, 2)];
    OFPFMFC_BAD_TIMEOUT: [-, (5, 5), (5, 5), (5, 5), (5, 5), (5, 5)];
    OFPFMFC_CANT_SYNC: [-, -, -, -, (5, 8), (5, 8)];
    OFPFMFC_IS_SYNC: [-, -, -, -, (5, 10), (5, 10)];
    OFPFMFC_TABLE_FULL: [(3, 0), (5, 1), (5, 1), (5, 1), (5, 1), (5, 1)];
    OFPFMFC_OVERLAP: [(3, 1), (5, 3), (5, 3), (5, 3), (5, 3), (5, 3)];
    OFPFMFC_EPERM: [(3, 2), (5, 4), (5, 4), (5, 4), (5, 4), (5, 4)];
    OFPFMFC_BAD_EMERG_TIMEOUT: [(3, 3), -, -, -, -, -];
    OFPFMFC_BAD_COMMAND: [(3, 4), (5, 6), (5, 6), (5, 6), (5, 6), (5, 6)];
    OFPFMFC_BAD_FLAGS: [NX(3, 258), NX(5, 258), (5, 7), (5, 7), (5, 7), (5, 7)];
    OFPFMFC_BAD_PRIORITY: [-, -, -, ONF(2360), (5, 9), (5, 9)];
    OFPFMFC_UNSUPPORTED: [(3, 5), -, -, -, -, -];
    NXFMFC_HARDWARE: [NX(5, 256), NX(5, 256), NX(12), NX(12), NX(12), NX(12)];
    NXFMFC_BAD_TABLE_ID: [NX(5, 257), NX(5, 257), NX(13), NX(13), NX(13), NX(13)];
    NXFMFC_INVALID_TLV_FIELD: [NX(1, 536), NX(1, 536), NX(37), NX(37), NX(37), NX(37)];
    OFPGMFC_GROUP_EXISTS: [NX(6, 0), (6, 0), (6, 0), (6, 0), (6, 0), (6, 0)];
    OFPGMFC_INVALID_GROUP: [NX(6, 1), (6, 1), (6, 1), (6, 1), (6, 1), (6, 1)];
    OFPGMFC_WEIGHT_UNSUPPORTED: [NX(6, 2), (6, 2), (6, 2), (6, 2), (6, 2), (6, 2)];
    OFPGMFC_OUT_OF_GROUPS: [NX(6, 3), (6, 3), (6, 3), (6, 3), (6, 3), (6, 3)];
    OFPGMFC_OUT_OF_BUCKETS: [NX(6, 4), (6, 4), (6, 4), (6, 4), (6, 4), (6, 4)];
    OFPGMFC_CHAINING_UNSUPPORTED: [NX(6, 5), (6, 5), (6, 5), (6, 5), (6, 5), (6, 5)];
    OFPGMFC_WATCH_UNSUPPORTED: [NX(6, 6), (6, 6), (6, 6), (6, 6), (6, 6), (6, 6)];
    OFPGMFC_LOOP: [NX(6, 7), (6, 7), (6, 7), (6, 7), (6, 7), (6, 7)];
    OFPGMFC_UNKNOWN_GROUP: [NX(6, 8), (6, 8), (6, 8), (6, 8), (6, 8), (6, 8)];
    OFPGMFC_CHAINED_GROUP: [NX(6, 9), -, (6, 9), (6, 9), (6, 9), (6, 9)];
    OFPGMFC_BAD_TYPE: [NX(6, 10), -, (6, 10), (6, 10), (6, 10), (6, 10)];
    OFPGMFC_BAD_COMMAND: [NX(6, 11), -, (6, 11), (6, 11), (6, 11), (6, 11)];
    OFPGMFC_BAD_BUCKET: [NX(6, 12), -, (6, 12), (6, 12), (6, 12), (6, 12)];
    OFPGMFC_BAD_WATCH: [NX(6, 13), -, (6, 13), (6, 13), (6, 13), (6, 13)];
    OFPGMFC_EPERM: [NX(6, 14), -, (6, 14), (6, 14), (6, 14), (6, 14)];
    OFPGMFC_UNKNOWN_BUCKET: [NX(6, 15), -, -, -, -, (6, 15)];
    OFPGMFC_BUCKET_EXISTS: [NX(6, 16), -, -, -, -, (6, 16)];
    OFPPMFC_BAD_CONFIG: [-, (7, 2), (7, 2), (7, 2), (7, 2), (7, 2)];
    OFPPMFC_BAD_ADVERTISE: [-, (7, 3), (7, 3), (7, 3), (7, 3), (7, 3)];
    OFPPMFC_EPERM: [-, -, (7, 4), (7, 4), (7, 4), (7, 4)];
    OFPPMFC_BAD_PORT: [(4, 0), (7, 0), (7, 0), (7, 0), (7, 0), (7, 0)];
    OFPPMFC_BAD_HW_ADDR: [(4, 1), (7, 1), (7, 1), (7, 1), (7, 1), (7, 1)];
    OFPTMFC_BAD_TABLE: [-, (8, 0), (8, 0), (8, 0), (8, 0), (8, 0)];
    OFPTMFC_BAD_CONFIG: [-, (8, 1), (8, 1), (8, 1), (8, 1), (8, 1)];
    OFPTMFC_EPERM: [-, -, (8, 2), (8, 2), (8, 2), (8, 2)];
    OFPQOFC_BAD_PORT: [(5, 0), (9, 0), (9, 0), (9, 0), (9, 0), (9, 0)];
    OFPQOFC_BAD_QUEUE: [(5, 1), (9, 1), (9, 1), (9, 1), (9, 1), (9, 1)];
    OFPQOFC_EPERM: [(5, 2), (9, 2), (9, 2), (9, 2), (9, 2), (9, 2)];
    NXQOFC_QUEUE_ERROR: [-, -, -, -, NX(23), NX(23)];
    OFPSCFC_BAD_FLAGS: [-, (10, 0), (10, 0), (10, 0), (10, 0), (10, 0)];
    OFPSCFC_BAD_LEN: [-, (10, 1), (10, 1), (10, 1), (10, 1), (10, 1)];
    OFPSCFC_EPERM: [-, -, (10, 2), (10, 2), (10, 2), (10, 2)];
    OFPRRFC_STALE: [-, -, (11, 0), (11, 0), (11, 0), (11, 0)];
    OFPRRFC_UNSUP: [-, -, (11, 1), (11, 1), (11, 1), (11, 1)];
    OFPRRFC_ID_UNSUP: [-, -, -, -, -, (11, 3)];
    OFPRRFC_ID_IN_USE: [-, -, -, -, -, (11, 4)];
    OFPRRFC_BAD_ROLE: [NX(1, 513), NX(1, 513), (11, 2), (11, 2), (11, 2), (11, 2)];
    OFPMMFC_UNKNOWN: [-, -, -, (12, 0), (12, 0), (12, 0)];
    OFPMMFC_METER_EXISTS: [-, -, -, (12, 1), (12, 1), (12, 1)];
    OFPMMFC_INVALID_METER: [-, -, -, (12, 2), (12, 2), (12, 2)];
    OFPMMFC_UNKNOWN_METER: [-, -, -, (12, 3), (12, 3), (12, 3)];
    OFPMMFC_BAD_COMMAND: [-, -, -, (12, 4), (12, 4), (12, 4)];
    OFPMMFC_BAD_FLAGS: [-, -, -, (12, 5), (12, 5), (12, 5)];
    OFPMMFC_BAD_RATE: [-, -, -, (12, 6), (12, 6), (12, 6)];
    OFPMMFC_BAD_BURST: [-, -, -, (12, 7), (12, 7), (12, 7)];
    OFPMMFC_BAD_BAND: [-, -, -, (12, 8), (12, 8), (12, 8)];
    OFPMMFC_BAD_BAND_VALUE: [-, -, -, (12, 9), (12, 9), (12, 9)];
    OFPMMFC_OUT_OF_METERS: [-, -, -, (12, 10), (12, 10), (12, 10)];
    OFPMMFC_OUT_OF_BANDS: [-, -, -, (12, 11), (12, 11), (12, 11)];
    OFPTFFC_BAD_TABLE: [-, -, -, (13, 0), (13, 0), (13, 0)];
    OFPTFFC_BAD_METADATA: [-, -, -, (13, 1), (13, 1), (13, 1)];
    OFPTFFC_EPERM: [-, -, -, (13, 5), (13, 5), (13, 5)];
    OFPTFFC_BAD_CAPA: [-, -, -, -, -, (13, 6)];
    OFPTFFC_BAD_MAX_ENT: [-, -, -, -, -, (13, 7)];
    OFPTFFC_BAD_FEATURES: [-, -, -, -, -, (13, 8)];
    OFPTFFC_BAD_COMMAND: [-, -, -, -, -, (13, 9)];
    OFPTFFC_TOO_MANY: [-, -, -, -, -, (13, 10)];
    NXTFFC_DUP_TABLE: [-, -, -, NX(44), NX(44), NX(44)];
    OFPBPC_BAD_TYPE: [NX(13, 2), NX(13, 2), NX(25), (13, 2), (14, 0), (14, 0)];
    OFPBPC_BAD_LEN: [NX(13, 3), NX(13, 3), NX(26), (13, 3), (14, 1), (14, 1)];
    OFPBPC_BAD_VALUE: [NX(13, 4), NX(13, 4), NX(27), (13, 4), (14, 2), (14, 2)];
    OFPBPC_TOO_MANY: [NX(14, 3), NX(14, 3), NX(28), ONF(4443), (14, 3), (14, 3)];
    OFPBPC_DUP_TYPE: [NX(14, 4), NX(14, 4), NX(29), ONF(4444), (14, 4), (14, 4)];
    OFPBPC_BAD_EXPERIMENTER: [NX(14, 5), NX(14, 5), NX(30), ONF(4445), (14, 5), (14, 5)];
    OFPBPC_BAD_EXP_TYPE: [NX(14, 6), NX(14, 6), NX(31), ONF(4446), (14, 6), (14, 6)];
    OFPBPC_BAD_EXP_VALUE: [NX(14, 7), NX(14, 7), NX(32), ONF(4447), (14, 7), (14, 7)];
    OFPBPC_EPERM: [NX(14, 8), NX(14, 8), NX(33), ONF(4448), (14, 8), (14, 8)];
    OFPACFC_INVALID: [-, -, -, ONF(2370), (15, 0), (15, 0)];
    OFPACFC_UNSUPPORTED: [-, -, -, ONF(2371), (15, 1), (15, 1)];
    OFPACFC_EPERM: [-, -, -, ONF(2372), (15, 2), (15, 2)];
    OFPBFC_SCHED_NOT_SUPPORTED: [-, -, -, -, -, (17, 16)];
    OFPBFC_SCHED_FUTURE: [-, -, -, -, -, (17, 17)];
    OFPBFC_SCHED_PAST: [-, -, -, -, -, (17, 18)];
    OFPBFC_UNKNOWN: [-, -, -, ONF(2300), (17, 0), (17, 0)];
    OFPBFC_EPERM: [-, -, -, ONF(2301), (17, 1), (17, 1)];
    OFPBFC_BAD_ID: [-, -, -, ONF(2302), (17, 2), (17, 2)];
    OFPBFC_BUNDLE_EXIST: [-, -, -, ONF(2303), (17, 3), (17, 3)];
    OFPBFC_BUNDLE_CLOSED: [-, -, -, ONF(2304), (17, 4), (17, 4)];
    OFPBFC_OUT_OF_BUNDLES: [-, -, -, ONF(2305), (17, 5), (17, 5)];
    OFPBFC_BAD_TYPE: [-, -, -, ONF(2306), (17, 6), (17, 6)];
    OFPBFC_BAD_FLAGS: [-, -, -, ONF(2307), (17, 7), (17, 7)];
    OFPBFC_MSG_BAD_LEN: [-, -, -, ONF(2308), (17, 8), (17, 8)];
    OFPBFC_MSG_BAD_XID: [-, -, -, ONF(2309), (17, 9), (17, 9)];
    OFPBFC_MSG_UNSUP: [-, -, -, ONF(2310), (17, 10), (17, 10)];
    OFPBFC_MSG_CONFLICT: [-, -, -, ONF(2311), (17, 11), (17, 11)];
    OFPBFC_MSG_TOO_MANY: [-, -, -, ONF(2312), (17, 12), (17, 12)];
    OFPBFC_MSG_FAILED: [-, -, -, ONF(2313), (17, 13), (17, 13)];
    OFPBFC_TIMEOUT: [-, -, -, ONF(2314), (17, 14), (17, 14)];
    OFPBFC_BUNDLE_IN_PROGRESS: [-, -, -, ONF(2315), (17, 15), (17, 15)];
    OFPBFC_BAD_VERSION: [-, -, -, -, NX(22), NX(22)];
    OFPMOFC_UNKNOWN: [-, -, -, -, (16, 0), (16, 0)];
    OFPMOFC_INVALID_MONITOR: [-, -, -, -, (16, 2), (16, 2)];
    OFPMOFC_BAD_COMMAND: [-, -, -, -, (16, 4), (16, 4)];
    OFPMOFC_BAD_TABLE_ID: [-, -, -, -, (16, 6), (16, 6)];
    OFPMOFC_BAD_OUT: [-, -, -, -, (16, 7), (16, 7)];
    OFPMOFC_MONITOR_EXISTS: [NX(1, 517), NX(1, 517), NX(6), NX(6), (16, 1), (16, 1)];
    OFPMOFC_UNKNOWN_MONITOR: [NX(1, 519), NX(1, 519), NX(8), NX(8), (16, 3), (16, 3)];
    OFPMOFC_BAD_FLAGS: [NX(1, 518), NX(1, 518), NX(7), NX(7), (16, 5), (16, 5)];
    NXTTMFC_BAD_COMMAND: [NX(1, 527), NX(1, 527), NX(16), NX(16), NX(16), NX(16)];
    NXTTMFC_BAD_OPT_LEN: [NX(1, 528), NX(1, 528), NX(17), NX(17), NX(17), NX(17)];
    NXTTMFC_BAD_FIELD_IDX: [NX(1, 529), NX(1, 529), NX(18), NX(18), NX(18), NX(18)];
    NXTTMFC_TABLE_FULL: [NX(1, 530), NX(1, 530), NX(19), NX(19), NX(19), NX(19)];
    NXTTMFC_ALREADY_MAPPED: [NX(1, 531), NX(1, 531), NX(20), NX(20), NX(20), NX(20)];
    NXTTMFC_DUP_ENTRY: [NX(1, 532), NX(1, 532), NX(21), NX(21), NX(21), NX(21)];
    NXTTMFC_INVALID_TLV_DEL: [NX(1, 537), NX(1, 537), NX(38), NX(38), NX(38), NX(38)];
    NXR_NOT_SUPPORTED: [NX(1, 533), NX(1, 533), NX(34), NX(34), NX(34), NX(34)];
    NXR_STALE: [NX(1, 534), NX(1, 534), NX(35), NX(35), NX(35), NX(35)];
    NXST_NOT_CONFIGURED: [NX(1, 535), NX(1, 535), NX(36), NX(36), NX(36), NX(36)];
}

impl OfpError {
    /// Its numbers in `version`, if it has any there.
    pub const fn code(self, version: Version) -> Option<ErrorCode> {
        self.codes()[version.index()]
    }

    /// The error with these numbers in `version`.
    pub fn from_code(version: Version, code: ErrorCode) -> Option<OfpError> {
        // Two errors may share numbers; these are the ones that are meant when received.
        let shared = match (version, code) {
            (Version::V11, ErrorCode::Standard { kind: 3, code: 5 }) => {
                Some(OfpError::OFPBIC_BAD_EXPERIMENTER)
            }
            (Version::V10 | Version::V11, ErrorCode::Standard { kind: 1, code: 5 }) => {
                Some(OfpError::OFPBRC_EPERM)
            }
            _ => None,
        };
        shared.or_else(|| OfpError::ALL.iter().copied().find(|e| e.code(version) == Some(code)))
    }
}

impl core::fmt::Display for OfpError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.name())
    }
}

impl core::error::Error for OfpError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_errors_are_one_to_one_but_for_the_shared_ones() {
        for version in Version::ALL {
            for e in OfpError::ALL {
                let Some(code) = e.code(version) else { continue };
                let back = OfpError::from_code(version, code).unwrap();
                let shared = matches!(e, OfpError::OFPBIC_BAD_EXP_TYPE | OfpError::OFPBRC_IS_SECONDARY);
                assert!(back == *e || shared, "{e} {version}");
            }
        }
        assert!(OfpError::NXBRC_UNENCODABLE_ERROR.code(Version::V15).is_some());
    }
}
