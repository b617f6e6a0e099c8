//! Requests about objects: those that come, passed on as clones, and our own.
//!
//! Where it sits: `ovsext` reads a request through [`OidRequest`], then passes it on with [`forward_oid`]; what comes back
//! is told apart by what the clone says of its issuer.
//!
//! I1  A received request is never passed on itself: its clone is, and what was written there is copied back.
//! I2  Some requests must be passed on whatever happens. For when a clone cannot be had, a module keeps a [`SpareRequest`]:
//!     NDIS gives it one request at a time, so that one is enough.
//! I3  A request that is passed on is answered through [`oid_answered`], whether the answer comes at once or later; so
//!     FilterOidRequest answers PENDING in both cases.

use alloc::boxed::Box;
use core::cell::UnsafeCell;
use core::ptr;

use ndis_sys::*;

use sync::try_box;

use crate::TAG;

/// What a request wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OidKind {
    /// To know something.
    Query,
    /// To change something.
    Set,
    /// Both.
    Method,
}

/// A request that came, to be read.
#[derive(Debug)]
pub struct OidRequest(*mut NDIS_OID_REQUEST);

impl OidRequest {
    /// A request that FilterOidRequest was given.
    ///
    /// # Safety
    /// The request and its buffer are there until it is completed, and the value is gone by then.
    pub unsafe fn from_raw(request: *mut NDIS_OID_REQUEST) -> OidRequest {
        OidRequest(request)
    }

    /// What it wants.
    pub fn kind(&self) -> OidKind {
        // SAFETY: the request is there.
        match unsafe { (*self.0).RequestType } {
            NdisRequestSetInformation => OidKind::Set,
            NdisRequestMethod => OidKind::Method,
            _ => OidKind::Query,
        }
    }

    /// The object.
    pub fn oid(&self) -> u32 {
        // SAFETY: the request is there; the object's number is at the same place in all forms.
        unsafe { (*self.0).DATA.Set.Oid }
    }

    /// What is to be set, or the method's input.
    pub fn input(&self) -> &[u8] {
        // SAFETY: the request is there; in these two forms buffer and length are at the same place, and the length says how
        // much of the buffer may be read.
        unsafe {
            let data = &(*self.0).DATA.Set;
            if self.kind() == OidKind::Query || data.InformationBuffer.is_null() {
                return &[];
            }
            core::slice::from_raw_parts(data.InformationBuffer.cast(), data.InformationBufferLength as usize)
        }
    }
}

/// What the issuer of a clone keeps in it: the request it is a clone of, and two numbers.
#[repr(C)]
#[derive(Clone, Copy)]
struct Issuer {
    original: *mut NDIS_OID_REQUEST,
    note: [u32; 2],
}

/// A request that was allocated in advance, in place of a clone that cannot be had.
pub struct SpareRequest(Box<UnsafeCell<NDIS_OID_REQUEST>>);

// SAFETY: it is used for one request at a time, which NDIS serialises.
unsafe impl Send for SpareRequest {}
// SAFETY: as above.
unsafe impl Sync for SpareRequest {}

impl SpareRequest {
    /// A spare request; `None` if memory is short.
    pub fn try_new() -> Option<SpareRequest> {
        // SAFETY: zeros are a valid value.
        sync::try_box_with(|| Some(UnsafeCell::new(unsafe { core::mem::zeroed() }))).map(SpareRequest)
    }

    /// What a clone of `request` would be.
    ///
    /// # Safety
    /// `request` is whole, and the spare is not in use.
    unsafe fn copy_of(&self, request: *mut NDIS_OID_REQUEST) -> *mut NDIS_OID_REQUEST {
        let spare = self.0.get();
        // SAFETY: nobody else uses the spare; of the request only what revision 1 has is read.
        unsafe {
            spare.write(core::mem::zeroed());
            (*spare).Header = NDIS_OBJECT_HEADER {
                Type: NDIS_OBJECT_TYPE_OID_REQUEST,
                Revision: 1,
                Size: NDIS_SIZEOF_OID_REQUEST_REVISION_1,
            };
            (*spare).RequestType = (*request).RequestType;
            (*spare).PortNumber = (*request).PortNumber;
            (*spare).Timeout = (*request).Timeout;
            (*spare).RequestId = (*request).RequestId;
            (*spare).RequestHandle = (*request).RequestHandle;
            (*spare).DATA = (*request).DATA;
        }
        spare
    }
}

/// Passes a request on. `note` comes back with the answer, through `answered`.
///
/// # Safety
/// `filter` is this module's handle and `request` came by FilterOidRequest, which returns what this returns; `spare` is the
/// module's and used for nothing else.
pub unsafe fn forward_oid(
    filter: NDIS_HANDLE,
    request: *mut NDIS_OID_REQUEST,
    spare: &SpareRequest,
    note: [u32; 2],
    answered: impl FnOnce([u32; 2], NDIS_STATUS),
) -> NDIS_STATUS {
    let mut clone = ptr::null_mut();
    // SAFETY: the request is there until it is completed; the out pointer is to a local; NDIS gives no second request before
    // this one is completed, so the spare is free.
    unsafe {
        let status = NdisAllocateCloneOidRequest(filter, request, TAG, &mut clone);
        if status != NDIS_STATUS_SUCCESS || clone.is_null() {
            clone = spare.copy_of(request);
        }
    }
    // SAFETY: the clone is ours; its sixteen bytes for the issuer are aligned for pointers.
    unsafe {
        (&raw mut (*clone).SourceReserved).cast::<Issuer>().write(Issuer { original: request, note });
        match NdisFOidRequest(filter, clone) {
            NDIS_STATUS_PENDING => {}
            status => oid_answered(filter, clone, spare, status, answered),
        }
    }
    NDIS_STATUS_PENDING
}

/// What FilterOidRequestComplete does: ends a clone's original, or a wait of our own.
///
/// # Safety
/// `request` was sent down by this module and was answered with `status`.
pub unsafe fn oid_answered(
    filter: NDIS_HANDLE,
    request: *mut NDIS_OID_REQUEST,
    spare: &SpareRequest,
    status: NDIS_STATUS,
    answered: impl FnOnce([u32; 2], NDIS_STATUS),
) {
    // SAFETY: the issuer's bytes are those that we wrote; zeros in a request of our own.
    unsafe {
        let Issuer { original, note } = (&raw const (*request).SourceReserved).cast::<Issuer>().read();
        if original.is_null() {
            let own = request.cast::<Own>();
            (*own).status = status;
            KeSetEvent(&raw mut (*own).event, 0, 0);
            return;
        }
        answered(note, status);
        copy_back(request, original);
        if !ptr::eq(request, spare.0.get()) {
            NdisFreeCloneOidRequest(filter, request);
        }
        NdisFOidRequestComplete(filter, original, status);
    }
}

/// Copies what was answered from the clone to the original.
///
/// # Safety
/// Both are whole requests of the same type.
unsafe fn copy_back(clone: *mut NDIS_OID_REQUEST, original: *mut NDIS_OID_REQUEST) {
    // SAFETY: which form of the data holds is the type's matter, and the types are equal.
    unsafe {
        match (*original).RequestType {
            NdisRequestMethod => {
                let (from, to) = (&(*clone).DATA.Method, &mut (*original).DATA.Method);
                to.OutputBufferLength = from.OutputBufferLength;
                to.BytesRead = from.BytesRead;
                to.BytesNeeded = from.BytesNeeded;
                to.BytesWritten = from.BytesWritten;
            }
            NdisRequestSetInformation => {
                let (from, to) = (&(*clone).DATA.Set, &mut (*original).DATA.Set);
                to.BytesRead = from.BytesRead;
                to.BytesNeeded = from.BytesNeeded;
            }
            _ => {
                let (from, to) = (&(*clone).DATA.Query, &mut (*original).DATA.Query);
                to.BytesWritten = from.BytesWritten;
                to.BytesNeeded = from.BytesNeeded;
            }
        }
        (*original).SupportedRevision = (*clone).SupportedRevision;
    }
}

/// A request of our own with what waits for its answer. The request comes first: its address is this one's.
#[repr(C)]
struct Own {
    request: NDIS_OID_REQUEST,
    event: KEVENT,
    status: NDIS_STATUS,
}

/// The answer to a request of our own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// So many bytes were written.
    Written(usize),
    /// The buffer must have so many.
    TooShort(usize),
    /// Memory was short.
    NoMemory,
    /// It failed.
    Failed,
}

/// A request of our own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// For what there is.
    Query,
    /// For what there is of what the buffer's first bytes say, so many of them.
    Method(usize),
}

/// Asks for `oid` and waits, at PASSIVE_LEVEL. The answer comes into the buffer.
///
/// # Safety
/// `filter` is this module's handle, in a state in which requests are allowed, and not from inside FilterOidRequest.
pub unsafe fn ask(filter: NDIS_HANDLE, oid: u32, how: Ask, buffer: &mut [u8]) -> Answer {
    // SAFETY: zeros are a valid value of all three.
    let Some(mut own) = try_box(unsafe { core::mem::zeroed::<Own>() }) else { return Answer::NoMemory };
    own.request.Header = NDIS_OBJECT_HEADER {
        Type: NDIS_OBJECT_TYPE_OID_REQUEST,
        Revision: 1,
        Size: NDIS_SIZEOF_OID_REQUEST_REVISION_1,
    };
    let (data, len) = (buffer.as_mut_ptr().cast(), buffer.len() as u32);
    match how {
        Ask::Query => {
            own.request.RequestType = NdisRequestQueryInformation;
            own.request.DATA.Query.Oid = oid;
            own.request.DATA.Query.InformationBuffer = data;
            own.request.DATA.Query.InformationBufferLength = len;
        }
        Ask::Method(input) => {
            own.request.RequestType = NdisRequestMethod;
            own.request.DATA.Method.Oid = oid;
            own.request.DATA.Method.InformationBuffer = data;
            own.request.DATA.Method.InputBufferLength = input.min(buffer.len()) as u32;
            own.request.DATA.Method.OutputBufferLength = len;
        }
    }
    let place = &raw mut *own;
    // SAFETY: the request, its event and its buffer stay where they are until the answer is here; a null timeout waits for
    // ever, which PASSIVE_LEVEL permits. Of the data the form that was asked in is read.
    unsafe {
        (*place).request.RequestId = place.cast();
        KeInitializeEvent(&raw mut (*place).event, 0, 0);
        let status = match NdisFOidRequest(filter, place.cast()) {
            NDIS_STATUS_PENDING => {
                KeWaitForSingleObject(&raw mut (*place).event, 0, 0, 0, ptr::null());
                (*place).status
            }
            status => status,
        };
        let (written, needed) = match how {
            Ask::Query => {
                let data = (*place).request.DATA.Query;
                (data.BytesWritten, data.BytesNeeded)
            }
            Ask::Method(_) => {
                let data = (*place).request.DATA.Method;
                (data.BytesWritten, data.BytesNeeded)
            }
        };
        match status {
            NDIS_STATUS_SUCCESS => Answer::Written((written as usize).min(buffer.len())),
            NDIS_STATUS_INVALID_LENGTH | NDIS_STATUS_BUFFER_TOO_SHORT => Answer::TooShort(needed as usize),
            NDIS_STATUS_RESOURCES => Answer::NoMemory,
            _ => Answer::Failed,
        }
    }
}
