// A machine of the npm package v86 on Node: its serial line on standard input and output.
//
//   node v86.mjs LIBRARY WASM MEMORY_MB boot ROM [ADDRESS FILE]...
//   node v86.mjs LIBRARY WASM MEMORY_MB restore ROM STATE
//
// A line "@@save FILE" on standard input is not for the machine: its state is saved.
import { readFileSync, writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [library, wasm, memory, mode, rom, ...rest] = process.argv.slice(2);
const { V86 } = await import(pathToFileURL(library));
const bytes = (file) => {
    const content = readFileSync(file);
    return content.buffer.slice(content.byteOffset, content.byteOffset + content.length);
};

const emulator = new V86({
    wasm_path: wasm,
    memory_size: Number(memory) << 20,
    bios: { buffer: bytes(rom) },
    initial_state: mode === "restore" ? { buffer: bytes(rest[0]) } : undefined,
    autostart: false,
    disable_keyboard: true,
    disable_mouse: true,
    disable_speaker: true,
    log_level: 0,
});

let output = [];
emulator.add_listener("serial0-output-byte", (byte) => {
    output.push(byte);
    if (byte === 10) {
        process.stdout.write(Buffer.from(output));
        output = [];
    }
});

emulator.add_listener("emulator-loaded", () => {
    if (mode === "boot") {
        for (let index = 0; index < rest.length; index += 2) {
            emulator.write_memory(new Uint8Array(bytes(rest[index + 1])), Number(rest[index]));
        }
    } else {
        process.stdout.write("@@ready\n");
    }
    emulator.run();
});

// Without firmware, address registers of PCI devices have values that v86 itself cannot restore.
function forgetUnknownBars() {
    const pci = emulator.v86.cpu.devices.pci;
    pci.devices.forEach((device, index) => {
        for (let bar = 0; device && bar < device.pci_bars.length; bar++) {
            if (!device.pci_bars[bar]) {
                pci.device_spaces[index][4 + bar] = 0;
            }
        }
    });
}

let pending = "";
process.stdin.on("data", async (data) => {
    pending += data.toString();
    let end;
    while ((end = pending.indexOf("\n")) >= 0) {
        const line = pending.slice(0, end + 1);
        pending = pending.slice(end + 1);
        if (line.startsWith("@@save ")) {
            await emulator.stop();
            forgetUnknownBars();
            writeFileSync(line.slice(7).trim(), Buffer.from(await emulator.save_state()));
            emulator.run();
            process.stdout.write("@@saved\n");
        } else {
            emulator.serial0_send(line);
        }
    }
});
process.stdin.on("end", () => process.exit(0));
