//! Loads the driver's image: maps its sections, relocates it, binds its imports to the simulated functions.
//!
//! Where it sits: used where [`crate::Driver::Image`] is asked for. What runs then is the code that Windows would run.
//!
//! A fault inside the image (a null pointer, memory that is gone) ends the process with the place in the image, for which
//! the PDB has the line.

use std::path::Path;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

use ndis_sys::DRIVER_OBJECT;
use object::{
    LittleEndian as LE, pe,
    read::pe::{ImageNtHeaders, ImageOptionalHeader, Import, PeFile64},
};

/// A loaded image; goes when dropped.
pub struct Image {
    base: *mut u8,
    size: usize,
    entry: usize,
}

/// Where the image is, for the fault handler.
static RANGE: [AtomicUsize; 2] = [AtomicUsize::new(0), AtomicUsize::new(0)];

/// The address of a simulated function.
fn resolve(name: &str) -> Option<usize> {
    let all = [
        crate::kernel::EXPORTS,
        crate::filter::EXPORTS,
        crate::files::EXPORTS,
        crate::netio::EXPORTS,
        crate::packets::EXPORTS,
        crate::mdl::EXPORTS,
        crate::switch_functions::EXPORTS,
    ];
    all.iter().flat_map(|list| list.iter()).find(|(known, _)| *known == name).map(|(_, address)| address())
}

impl Image {
    /// Loads a file.
    pub fn load(path: &Path) -> Result<Image, String> {
        let bytes = std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()))?;
        let file = PeFile64::parse(&*bytes).map_err(|e| e.to_string())?;
        let header = file.nt_headers().optional_header();
        let size = header.size_of_image() as usize;
        // SAFETY: fresh memory of the image's size.
        let base = unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            libc::mmap(ptr::null_mut(), size, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0)
        };
        if base == libc::MAP_FAILED {
            return Err("no memory for the image".into());
        }
        let base = base.cast::<u8>();
        let image = Image { base, size, entry: base as usize + header.address_of_entry_point() as usize };
        image.fill(&file, &bytes)?;
        image.relocate(&file, &bytes, (base as u64).wrapping_sub(header.image_base()))?;
        image.bind(&file)?;
        image.protect(&file);
        RANGE[0].store(base as usize, Ordering::Release);
        RANGE[1].store(size, Ordering::Release);
        watch_faults();
        Ok(image)
    }

    fn at(&self, offset: usize, len: usize) -> Result<*mut u8, String> {
        if offset.checked_add(len).is_none_or(|end| end > self.size) {
            return Err("the image names a place outside itself".into());
        }
        // SAFETY: within the mapping.
        Ok(unsafe { self.base.add(offset) })
    }

    fn fill(&self, file: &PeFile64, bytes: &[u8]) -> Result<(), String> {
        for section in file.section_table().iter() {
            let (from, len) = section.pe_file_range();
            let data =
                bytes.get(from as usize..from as usize + len as usize).ok_or("a section outside the file")?;
            let to = self.at(section.virtual_address.get(LE) as usize, data.len())?;
            // SAFETY: `at` checked the place.
            unsafe { ptr::copy_nonoverlapping(data.as_ptr(), to, data.len()) };
        }
        Ok(())
    }

    fn relocate(&self, file: &PeFile64, bytes: &[u8], by: u64) -> Result<(), String> {
        let sections = file.section_table();
        let blocks =
            file.data_directories().relocation_blocks(bytes, &sections).map_err(|e| e.to_string())?;
        let Some(mut blocks) = blocks else { return Ok(()) };
        while let Some(block) = blocks.next().map_err(|e| e.to_string())? {
            for relocation in block {
                match relocation.typ {
                    pe::IMAGE_REL_BASED_ABSOLUTE => {}
                    pe::IMAGE_REL_BASED_DIR64 => {
                        let word = self.at(relocation.virtual_address as usize, 8)?.cast::<u64>();
                        // SAFETY: `at` checked the place.
                        unsafe { word.write_unaligned(word.read_unaligned().wrapping_add(by)) };
                    }
                    kind => return Err(format!("a relocation of kind {kind}")),
                }
            }
        }
        Ok(())
    }

    fn bind(&self, file: &PeFile64) -> Result<(), String> {
        let text = |e: object::Error| e.to_string();
        let Some(table) = file.import_table().map_err(text)? else { return Ok(()) };
        let mut modules = table.descriptors().map_err(text)?;
        while let Some(module) = modules.next().map_err(text)? {
            let mut thunks = table.thunks(module.original_first_thunk.get(LE)).map_err(text)?;
            let mut slot = module.first_thunk.get(LE) as usize;
            while let Some(thunk) = thunks.next::<pe::ImageNtHeaders64>().map_err(text)? {
                let Import::Name(_, name) = table.import::<pe::ImageNtHeaders64>(thunk).map_err(text)? else {
                    return Err("an import by number".into());
                };
                let name = String::from_utf8_lossy(name);
                let address = resolve(&name).ok_or_else(|| format!("no function {name} is simulated"))?;
                // SAFETY: `at` checked the place.
                unsafe { self.at(slot, 8)?.cast::<usize>().write(address) };
                slot += 8;
            }
        }
        Ok(())
    }

    fn protect(&self, file: &PeFile64) {
        for section in file.section_table().iter() {
            let flags = section.characteristics.get(LE);
            let mut allowed = libc::PROT_READ;
            if flags & pe::IMAGE_SCN_MEM_WRITE == pe::IMAGE_SCN_MEM_WRITE {
                allowed |= libc::PROT_WRITE;
            }
            if flags & pe::IMAGE_SCN_MEM_EXECUTE == pe::IMAGE_SCN_MEM_EXECUTE {
                allowed |= libc::PROT_EXEC;
            }
            let len = (section.virtual_size.get(LE).max(1) as usize).next_multiple_of(4096);
            if let Ok(at) = self.at(section.virtual_address.get(LE) as usize, 0) {
                // SAFETY: pages of the mapping.
                unsafe { libc::mprotect(at.cast(), len, allowed) };
            }
        }
    }

    /// Calls DriverEntry.
    pub(crate) fn start(&self, driver: *mut DRIVER_OBJECT) -> i32 {
        type Entry = unsafe extern "win64" fn(*mut DRIVER_OBJECT, *mut ndis_sys::UNICODE_STRING) -> i32;
        // SAFETY: the image's header names its entry, which is DriverEntry by how it is linked.
        let entry = unsafe { std::mem::transmute::<usize, Entry>(self.entry) };
        // SAFETY: the driver object is fresh; a registry path is not looked at.
        unsafe { entry(driver, ptr::null_mut()) }
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        // SAFETY: the driver is unloaded: nothing calls into the image any more.
        unsafe { libc::munmap(self.base.cast(), self.size) };
    }
}

extern "C" fn on_fault(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel's structures, as SA_SIGINFO promises them.
    let (at, address) = unsafe {
        let registers = &(*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs;
        (registers[libc::REG_RIP as usize] as usize, (*info).si_addr() as usize)
    };
    let (base, size) = (RANGE[0].load(Ordering::Acquire), RANGE[1].load(Ordering::Acquire));
    if at.wrapping_sub(base) < size {
        let offset = at - base;
        crate::world::broken(&format!("signal {signal} in the image at +{offset:#x}, address {address:#x}"));
    }
    // SAFETY: not ours: the fault happens again and ends the process.
    unsafe { libc::signal(signal, libc::SIG_DFL) };
}

fn watch_faults() {
    // SAFETY: a whole action; the handler stays.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_fault as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO;
        for signal in [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL] {
            libc::sigaction(signal, &action, ptr::null_mut());
        }
    }
}
