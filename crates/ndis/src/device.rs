//! The device by which user space talks to the driver.

use core::ptr;

use ndis_sys::*;

/// A function for one kind of request.
pub type Dispatch = unsafe extern "win64" fn(*mut core::ffi::c_void, *mut IRP) -> i32;

/// A registered device; goes when dropped (PASSIVE_LEVEL).
#[derive(Debug)]
pub struct Device(NDIS_HANDLE);

// SAFETY: a handle of NDIS's.
unsafe impl Send for Device {}

impl Device {
    /// Registers a device under two names, for those whom `sddl` names; `functions` by their major numbers.
    ///
    /// # Safety
    /// `driver` is the filter driver's handle, and the functions are what the kernel expects.
    pub unsafe fn register(
        driver: NDIS_HANDLE,
        names: (UNICODE_STRING, UNICODE_STRING),
        sddl: UNICODE_STRING,
        functions: &[(usize, Dispatch)],
    ) -> Option<Device> {
        let mut table: [DRIVER_DISPATCH; 28] = [None; 28];
        for (major, f) in functions {
            *table.get_mut(*major)? = Some(*f);
        }
        let ((mut device_name, mut link), mut sddl) = (names, sddl);
        let attributes = NDIS_DEVICE_OBJECT_ATTRIBUTES {
            Header: NDIS_OBJECT_HEADER {
                Type: NDIS_OBJECT_TYPE_DEVICE_OBJECT_ATTRIBUTES,
                Revision: 1,
                Size: NDIS_SIZEOF_DEVICE_OBJECT_ATTRIBUTES_REVISION_1,
            },
            DeviceName: &mut device_name,
            SymbolicName: &mut link,
            MajorFunctions: table.as_mut_ptr(),
            ExtensionSize: 0,
            DefaultSDDLString: &mut sddl,
            DeviceClassGuid: ptr::null(),
        };
        let (mut device, mut handle) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: everything that the attributes point to lives for the call, which copies it.
        let status = unsafe { NdisRegisterDeviceEx(driver, &attributes, &mut device, &mut handle) };
        (status == NDIS_STATUS_SUCCESS).then_some(Device(handle))
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        // SAFETY: the handle is what registering returned.
        unsafe { NdisDeregisterDeviceEx(self.0) }
    }
}
