//! The image's instructions: no segment-relative, privileged or vector-extension code, and no large frames.
//!
//! Where it sits: reads what objdump prints of the linked image.
//!
//! `gs:` would be thread-local storage; AVX state is not saved for kernel code; control and debug registers are the
//! kernel's own.

use std::{path::Path, process::Command};

use super::build::Symbols;

/// Parts of an operand or a mnemonic that must not occur.
const REFUSED: [&str; 13] =
    ["%gs:", "%fs:", "%cr", "%db", "%dr", "rdmsr", "wrmsr", "%ymm", "%zmm", "%k1", "ljmp", "iret", "syscall"];
const REFUSED_MNEMONICS: [&str; 6] = ["cli", "sti", "hlt", "in", "out", "int"];

/// Everything in the code that a kernel would refuse, and each function whose frame is larger than `limit`.
pub fn complaints(image: &Path, symbols: &Symbols, limit: u64) -> Vec<String> {
    let out =
        Command::new("objdump").args(["-d", "--no-show-raw-insn"]).arg(image).output().expect("objdump runs");
    assert!(out.status.success(), "objdump: {}", String::from_utf8_lossy(&out.stderr));
    let listing = String::from_utf8_lossy(&out.stdout);
    let mut complaints = Vec::new();
    let mut count = 0;
    for (address, instruction) in listing.lines().filter_map(instruction) {
        count += 1;
        if is_refused(instruction) {
            complaints.push(format!("`{instruction}` in {}", symbols.name(address)));
        }
        if let Some(bytes) = frame(instruction).filter(|bytes| *bytes > limit) {
            complaints.push(format!("a frame of {bytes} bytes (over {limit}) in {}", symbols.name(address)));
        }
    }
    assert!(count > 100, "objdump showed only {count} instructions");
    complaints
}

/// `  140001000:\tsub    $0x28,%rsp` to its address and its text.
fn instruction(line: &str) -> Option<(u64, &str)> {
    let (address, text) = line.split_once(":\t")?;
    Some((u64::from_str_radix(address.trim(), 16).ok()?, text.trim()))
}

fn is_refused(instruction: &str) -> bool {
    let mnemonic = instruction.split_whitespace().next().unwrap_or("");
    REFUSED.iter().any(|part| instruction.contains(part)) || REFUSED_MNEMONICS.contains(&mnemonic)
}

/// The bytes that an instruction takes from the stack at once.
fn frame(instruction: &str) -> Option<u64> {
    let mut words = instruction.split_whitespace();
    let (mnemonic, operands) = (words.next()?, words.next()?);
    let number = |text: &str| u64::from_str_radix(text.trim_start_matches("0x"), 16).ok();
    match mnemonic {
        // an amount in a register is what a probed frame looks like
        "sub" if operands == "%rax,%rsp" => Some(u64::MAX),
        "sub" | "subq" => {
            operands.strip_suffix(",%rsp").and_then(|amount| number(amount.trim_start_matches('$')))
        }
        "add" | "addq" => {
            let amount = number(operands.strip_suffix(",%rsp")?.trim_start_matches('$'))?;
            (amount > u64::MAX / 2).then(|| amount.wrapping_neg())
        }
        "lea" => number(operands.strip_suffix("(%rsp),%rsp")?.strip_prefix('-')?),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_measured() {
        assert_eq!(frame("sub    $0x428,%rsp"), Some(0x428));
        assert_eq!(frame("lea    -0x80(%rsp),%rsp"), Some(0x80));
        assert_eq!(frame("add    $0xffffffffffffff80,%rsp"), Some(0x80));
        assert_eq!(frame("sub    %rax,%rsp"), Some(u64::MAX));
        assert_eq!(frame("add    $0x28,%rsp"), None);
        assert_eq!(frame("sub    $0x28,%rax"), None);
    }

    #[test]
    fn refused_code_is_seen() {
        for bad in ["mov    %gs:0x58,%rax", "vmovups %ymm0,(%rcx)", "mov    %cr8,%rax", "cli", "int    $0x2e"]
        {
            assert!(is_refused(bad), "{bad}");
        }
        for good in ["mov    %ecx,%edx", "movups %xmm0,(%rcx)", "int3", "inc    %eax", "call   0x140001000"] {
            assert!(!is_refused(good), "{good}");
        }
    }
}
