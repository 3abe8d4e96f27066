//! What a model is told about the server as a whole.

use wasm_sandbox::Arch;

/// The server's instructions, for a machine with that much memory.
pub fn instructions(arch: Arch, memory_bytes: u64) -> String {
    let megabytes = memory_bytes >> 20;
    let (debian, bits) = match arch {
        Arch::I686 => ("i386", 32),
        Arch::X86_64 => ("amd64", 64),
    };
    format!(
        "A disposable Linux machine in a sandbox: Debian 12 (bookworm) for {debian}, with bash, python3 (standard library \
         only), git, sqlite3, jq and the usual tools. Commands run as root of the guest; nothing in it can reach the host.\n\
         * There is no network: no downloads, no pip, no apt. Only the guest's own loopback works. Bring files in with \
         write_file.\n\
         * It has {megabytes} MiB of memory, and files written are kept in that memory, too. The processor is emulated, {bits} \
         bits wide and 10 to 70 times slower than the host: keep work small and time limits generous.\n\
         * State persists between calls: files, background processes, the shells of run_command with session, the \
         interpreters of run_code. Without session each run_command has a shell of its own, in /root.\n\
         * To go back: checkpoint before something risky, then restore; reset puts the whole machine back to its first \
         state, in milliseconds. Nothing is kept when the server ends.\n\
         * A command that runs too long is killed with all it has started, and the result says timed_out. A command that \
         fails is no error of the tool: look at exit_code and stderr.\n\
         * Servers and other things that run on go through start_process, read_process and stop_process."
    )
}
