//! The PE file: headers, sections and imports, as the kernel's loader and hypervisor-enforced code integrity want them.
//!
//! Where it sits: called with the bytes of the linked image.

use object::{
    LittleEndian as LE, pe,
    read::pe::{ImageNtHeaders, ImageOptionalHeader, Import, PeFile64},
};

/// The only modules that may be imported from (NETIO.SYS is the kernel's IP Helper).
const MODULES: [&str; 3] = ["ntoskrnl.exe", "NDIS.SYS", "NETIO.SYS"];

/// Offsets in the file: of the pointer to the PE header, and of the checksum behind that header's start.
const PE_POINTER: usize = 0x3c;
const CHECKSUM: usize = 24 + 64;

/// Everything about the file that a kernel would refuse.
pub fn complaints(bytes: &[u8]) -> Vec<String> {
    let file = match PeFile64::parse(bytes) {
        Ok(file) => file,
        Err(error) => return vec![format!("not a PE file: {error}")],
    };
    let mut complaints = header_complaints(&file, bytes);
    for section in file.section_table().iter() {
        let flags = section.characteristics.get(LE);
        let both = pe::IMAGE_SCN_MEM_WRITE | pe::IMAGE_SCN_MEM_EXECUTE;
        if flags & both == both {
            complaints.push(format!(
                "section {} is writable and executable",
                String::from_utf8_lossy(section.raw_name())
            ));
        }
    }
    match imports(bytes) {
        Err(error) => complaints.push(error),
        Ok(imports) => complaints.extend(
            imports
                .iter()
                .filter(|import| !MODULES.iter().any(|module| import.starts_with(&format!("{module}!"))))
                .map(|import| format!("import outside the allowed modules: {import}")),
        ),
    }
    complaints
}

fn header_complaints(file: &PeFile64, bytes: &[u8]) -> Vec<String> {
    let optional = file.nt_headers().optional_header();
    let directory = |index| file.data_directory(index).map_or(0, |entry| entry.virtual_address.get(LE));
    let wanted = pe::IMAGE_DLLCHARACTERISTICS_DYNAMIC_BASE
        | pe::IMAGE_DLLCHARACTERISTICS_NX_COMPAT
        | pe::IMAGE_DLLCHARACTERISTICS_HIGH_ENTROPY_VA;
    let flags = file.nt_headers().file_header().characteristics.get(LE);
    let stripped = flags & pe::IMAGE_FILE_RELOCS_STRIPPED == pe::IMAGE_FILE_RELOCS_STRIPPED;
    let rules = [
        (optional.subsystem() == pe::IMAGE_SUBSYSTEM_NATIVE, "the subsystem is not native"),
        (optional.check_sum() != 0 && optional.check_sum() == checksum(bytes), "the checksum is wrong"),
        (optional.section_alignment() == 0x1000, "sections are not aligned to pages"),
        (
            optional.dll_characteristics() & wanted == wanted,
            "not relocatable, non-executable-data, high-entropy",
        ),
        (!stripped && directory(pe::IMAGE_DIRECTORY_ENTRY_BASERELOC) != 0, "no relocations"),
        (
            directory(pe::IMAGE_DIRECTORY_ENTRY_EXCEPTION) != 0,
            "no .pdata: nothing could be unwound in a dump",
        ),
        (directory(pe::IMAGE_DIRECTORY_ENTRY_TLS) == 0, "thread-local storage"),
        (directory(pe::IMAGE_DIRECTORY_ENTRY_EXPORT) == 0, "exports"),
    ];
    rules.iter().filter(|(holds, _)| !holds).map(|(_, complaint)| (*complaint).to_owned()).collect()
}

/// All imports as `MODULE!FUNCTION`.
pub fn imports(bytes: &[u8]) -> Result<Vec<String>, String> {
    list_imports(bytes).map_err(|error| format!("the imports cannot be read: {error}"))
}

fn list_imports(bytes: &[u8]) -> object::read::Result<Vec<String>> {
    let file = PeFile64::parse(bytes)?;
    let mut found = Vec::new();
    let Some(table) = file.import_table()? else { return Ok(found) };
    let mut descriptors = table.descriptors()?;
    while let Some(descriptor) = descriptors.next()? {
        let module = String::from_utf8_lossy(table.name(descriptor.name.get(LE))?);
        let mut thunks = table.thunks(descriptor.original_first_thunk.get(LE))?;
        while let Some(thunk) = thunks.next::<pe::ImageNtHeaders64>()? {
            found.push(match table.import::<pe::ImageNtHeaders64>(thunk)? {
                Import::Name(_, name) => format!("{module}!{}", String::from_utf8_lossy(name)),
                Import::Ordinal(number) => format!("{module}!#{number}"),
            });
        }
    }
    Ok(found)
}

/// The checksum of the image's 16-bit words, its own field left out, plus the length.
fn checksum(bytes: &[u8]) -> u32 {
    let pointer = bytes.get(PE_POINTER..PE_POINTER + 4).and_then(|field| field.try_into().ok());
    let field = pointer.map_or(0, |pointer| u32::from_le_bytes(pointer) as usize + CHECKSUM);
    let mut sum = 0u32;
    for (index, word) in bytes.chunks(2).enumerate() {
        if (field..field + 4).contains(&(index * 2)) {
            continue;
        }
        sum += u32::from(word[0]) | u32::from(word.get(1).copied().unwrap_or(0)) << 8;
        sum = (sum & 0xffff) + (sum >> 16);
    }
    ((sum & 0xffff) + (sum >> 16)) + bytes.len() as u32
}
