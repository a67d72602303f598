/* SPDX-License-Identifier: Apache-2.0 */
#include "client/commands.h"

#include <string.h>

#include "config/nearest.h"

#define MAX_COMMANDS 96

/* clang-format off */
const struct opt_spec global_options[] = {
	OPT_MANY("instance", 'i', OPT_TEXT, "NAME", "the instance: a name, or the id that ls shows"),
	OPT_ROW("working-dir", 'C', OPT_TEXT, "DIR", "the instance whose working directory this is ($PW_EMU_WDIR)"),
	OPT_ALIAS("wdir", 'w', OPT_TEXT, "working-dir"),
	OPT_ROW("config", 'c', OPT_TEXT, "FILE", "the project's configuration: a pigweed.json or pwemu.json; default: see pwemu help config check"),
	OPT_ROW("host", 'H', OPT_TEXT, "ADDRESS", "the daemon: unix:/path/of/control.sock, ssh://[user@]host or tcp://HOST:PORT?ca=PIN&token=TOKEN ($PWEMU_HOST)"),
	OPT_ROW("context", '\0', OPT_TEXT, "NAME", "the daemon of this name ($PWEMU_CONTEXT); see pwemu help context add"),
	OPT_ROW("quiet", 'q', OPT_FLAG, NULL, "say nothing but errors"),
	OPT_ROW("verbose", 'v', OPT_FLAG, NULL, "say what is done"),
	OPT_ROW("help", 'h', OPT_FLAG, NULL, "show help and exit"),
	OPT_ROW("version", '\0', OPT_FLAG, NULL, "show the version and exit"),
	OPT_END,
};

#define OPTION_OUTPUT  OPT_ROW("output", 'o', OPT_CHOICE, "table|json", "form of the output")
#define OPTION_CHANNEL OPT_ROW("channel", 'n', OPT_TEXT, "NAME", "the channel; default: the first console")
#define OPTIONS_MACHINE \
	OPT_MANY("args", 'a', OPT_TEXT, "WORDS", "further arguments of the emulator, quoted as in a shell"), \
	OPT_ROW("runner", 'r', OPT_TEXT, "EMULATOR", "emulator to use where the target has several"), \
	OPT_ROW("pause", 'p', OPT_FLAG, NULL, "do not let the guest run yet (pwemu resume)"), \
	OPT_ROW("debug", 'd', OPT_FLAG, NULL, "have the emulator report guest errors (channel emulator)"), \
	OPT_ROW("semihosting", '\0', OPT_FLAG, NULL, "turn semihosting on"), \
	OPT_ROW("restart", '\0', OPT_RESTART, "POLICY", "no, on-failure or always, and how: always,delay=1s,deaths=3"), \
	OPT_ROW("lease", '\0', OPT_LEASE, "LEASE", "stop it when this is gone: client, pid:N (a process) or ttl:TIME"), \
	OPT_ROW("queue-timeout", '\0', OPT_DURATION, "TIME", "give up when it has waited in the queue for so long; default: never"), \
	OPT_MANY("set-env", '\0', OPT_PAIR, "NAME=VALUE", "environment variable of the emulator")

static const struct opt_spec run_options[] = {
	OPTIONS_MACHINE,
	OPT_ROW("channel", 'n', OPT_TEXT, "NAME|all", "the channel to show; default: the first console"),
	OPT_ROW("timeout", '\0', OPT_DURATION, "TIME", "end after this time, counted from the guest's start: 500ms, 2s, 5m"),
	OPT_MANY("expect", '\0', OPT_TEXT, "PATTERN", "end with 0 once every such pattern was seen in a line (PCRE2)"),
	OPT_MANY("fail", '\0', OPT_TEXT, "PATTERN", "end with 1 once it is seen in a line"),
	OPT_ROW("result", '\0', OPT_TEXT, "FILE", "write the verdict to FILE: a word, or JSON for a name in .json"),
	OPT_ROW("junit", '\0', OPT_TEXT, "FILE", "write the test cases in the guest's output (GoogleTest, pw_unit_test, ztest) to FILE as JUnit XML"),
	OPT_ROW("log-dir", '\0', OPT_TEXT, "DIR", "keep what the run leaves in DIR: NAME.log of every channel, result.json"),
	OPT_ROW("rm", '\0', OPT_FLAG, NULL, "forget the instance and its logs afterwards"),
	OPT_ROW("detach-parent", '\0', OPT_FLAG, NULL, "go on when the process that has started pwemu ends"),
	OPT_END,
};

static const struct opt_spec start_options[] = {
	OPT_MANY("file", 'f', OPT_TEXT, "FILE[@ADDR]", "image to load; the first is what boots"),
	OPTIONS_MACHINE,
	OPT_MANY("tcp", '\0', OPT_ENDPOINT, "CHANNEL[=PORT]", "let the channel be reached at this TCP port of 127.0.0.1"),
	OPT_MANY("pty", '\0', OPT_TEXT, "CHANNEL", "let the channel be reached at a pseudo-terminal"),
	OPT_ROW("gdb", '\0', OPT_PORT, "PORT", "the same as --tcp gdb=PORT; --tcp gdb takes any free port"),
	OPT_ROW("foreground", 'F', OPT_FLAG, NULL, "stay and show the emulator's messages; end with the emulator's code"),
	OPT_END,
};

static const struct opt_spec stop_options[] = {
	OPT_ROW("all", '\0', OPT_FLAG, NULL, "all your running instances"),
	OPT_ROW("grace", '\0', OPT_DURATION, "TIME", "time between SIGTERM and SIGKILL; default 5s"),
	OPT_END,
};

static const struct opt_spec rm_options[] = {
	OPT_ROW("force", '\0', OPT_FLAG, NULL, "stop it first if it runs"),
	OPT_ROW("ended", '\0', OPT_FLAG, NULL, "all your ended instances"),
	OPT_END,
};

static const struct opt_spec term_options[] = {
	OPTION_CHANNEL,
	OPT_ROW("from", '\0', OPT_POSITION, "POSITION", "0, boot, now, -4K (before the end) or an offset; default -4K"),
	OPT_ROW("read-only", '\0', OPT_FLAG, NULL, "only look"),
	OPT_ROW("steal", '\0', OPT_FLAG, NULL, "take the writer role from whoever has it"),
	OPT_ROW("escape", '\0', OPT_KEY, "KEY", "the key that quits; default ctrl-]"),
	OPT_ROW("eol", '\0', OPT_CHOICE, "cr|lf|crlf", "what Enter sends; default: the target's"),
	OPT_END,
};

#define OPTION_EXECUTABLE OPT_ROW("executable", 'e', OPT_TEXT, "FILE", "ELF file with the symbols; default: the one the instance was started with")

static const struct opt_spec gdb_options[] = { OPTION_EXECUTABLE, OPT_END };

static const struct opt_spec gdb_cmds_options[] = {
	OPTION_EXECUTABLE,
	OPT_ROW("pause", 'p', OPT_FLAG, NULL, "leave the guest paused"),
	OPT_END,
};

static const struct opt_spec pipe_options[] = {
	OPT_ROW("from", '\0', OPT_POSITION, "POSITION", "0, boot, now, -4K (before the end) or an offset; default now"),
	OPT_ROW("read-only", '\0', OPT_FLAG, NULL, "only read; stdin is left alone"),
	OPT_END,
};

static const struct opt_spec logs_options[] = {
	OPTION_CHANNEL,
	OPT_ROW("follow", 'f', OPT_FLAG, NULL, "go on with what comes, until the instance has ended"),
	OPT_ROW("from", '\0', OPT_POSITION, "POSITION", "0, boot, now, -4K (before the end) or an offset; default 0"),
	OPT_ROW("boot", '\0', OPT_INTEGER, "N", "only boot N; 0 the current one, -1 the one before it"),
	OPT_ROW("lines", '\0', OPT_NUMBER, "N", "only the last N lines"),
	OPT_ROW("time", 't', OPT_MAY_CHOOSE, "boot", "when each line began; =boot: in seconds since its boot began"),
	OPT_END,
};

static const struct opt_spec send_options[] = {
	OPT_ROW("channel", 'n', OPT_TEXT, "NAME", "the channel, if it is not a word; default: the first console"),
	OPT_ROW("line", 'l', OPT_FLAG, NULL, "press Enter after it: what that sends is the target's eol"),
	OPT_MANY("expect", '\0', OPT_TEXT, "PATTERN", "until every such pattern was seen in a line of what comes after (PCRE2)"),
	OPT_MANY("fail", '\0', OPT_TEXT, "PATTERN", "end with 1 once it is seen in a line of what comes after"),
	OPT_ROW("timeout", '\0', OPT_DURATION, "TIME", "end with 124 after this time; default: 10s in which no input is taken"),
	OPT_END,
};

static const struct opt_spec ls_options[] = {
	OPT_ROW("all", 'a', OPT_FLAG, NULL, "also ended instances"),
	OPT_ROW("all-users", 0, OPT_FLAG, NULL, "those of all users that you may see, with their owners"),
	OPT_ROW("user", 0, OPT_TEXT, "USER", "only those of this user"),
	OPTION_OUTPUT,
	OPT_END,
};

static const struct opt_spec share_options[] = {
	OPT_ROW("with", '\0', OPT_TEXT, "USER|GROUP", "with whom; a user where both have that name"),
	OPT_ROW("group", '\0', OPT_FLAG, NULL, "--with names a group"),
	OPT_END,
};

static const struct opt_spec unshare_options[] = {
	OPT_ROW("with", '\0', OPT_TEXT, "USER|GROUP", "whose right ends; default: everybody's"),
	OPT_ROW("group", '\0', OPT_FLAG, NULL, "--with names a group"),
	OPT_END,
};

static const struct opt_spec wait_options[] = {
	OPT_MANY("state", '\0', OPT_TEXT, "STATE", "until it is in this state (a word of ls), or one of these"),
	OPT_ROW("exit", '\0', OPT_FLAG, NULL, "until it has ended for good; what is done when nothing else is asked for"),
	OPT_ROW("channel", 'n', OPT_TEXT, "NAME|all", "the channel to look at; default: the first console"),
	OPT_MANY("expect", '\0', OPT_TEXT, "PATTERN", "until every such pattern was seen in a line (PCRE2)"),
	OPT_MANY("fail", '\0', OPT_TEXT, "PATTERN", "end with 1 once it is seen in a line"),
	OPT_ROW("from", '\0', OPT_POSITION, "POSITION", "0, boot, now, -4K (before the end) or an offset; default: the latest start"),
	OPT_ROW("timeout", '\0', OPT_DURATION, "TIME", "end with 124 after this time: 500ms, 2s, 5m"),
	OPT_END,
};

static const struct opt_spec explain_options[] = {
	OPT_ROW("argv", '\0', OPT_FLAG, NULL, "print the command line of the emulator instead, as one line for a shell, then what is said in its monitor"),
	OPT_ROW("runner", 'r', OPT_TEXT, "EMULATOR", "emulator to look at where the target has several"),
	OPTION_OUTPUT,
	OPT_END,
};

static const struct opt_spec events_options[] = {
	OPT_ROW("follow", 'f', OPT_FLAG, NULL, "go on with what comes"),
	OPT_ROW("from", '\0', OPT_NUMBER, "SEQ", "begin with the event of this number; default: the oldest that is kept"),
	OPT_ROW("output", 'o', OPT_CHOICE, "table|json", "form of the output; json: one object a line"),
	OPT_END,
};

static const struct opt_spec load_options[] = {
	OPT_ROW("pause", 'p', OPT_FLAG, NULL, "leave the guest paused before its first instruction"),
	OPT_ROW("offset", 'o', OPT_TEXT, "ADDR", "load address of a raw binary; of other files added to their addresses"),
	OPT_END,
};

static const struct opt_spec output_options[] = { OPTION_OUTPUT, OPT_END };

static const struct opt_spec daemon_stop_options[] = {
	OPT_ROW("with-instances", '\0', OPT_FLAG, NULL, "stop all instances first; otherwise they run on"),
	OPT_END,
};

static const struct opt_spec daemon_logs_options[] = {
	OPT_ROW("lines", '\0', OPT_NUMBER, "N", "only the last N lines"),
	OPT_END,
};

static const struct opt_spec context_add_options[] = {
	OPT_ROW("no-check", '\0', OPT_FLAG, NULL, "do not connect to see whether it is right; Python clients need that once"),
	OPT_END,
};

static const struct opt_spec token_add_options[] = {
	OPT_ROW("ttl", '\0', OPT_TEXT, "TIME", "how long it is good: 8h, 30d; default: until it is removed"),
	OPT_ROW("note", '\0', OPT_TEXT, "TEXT", "what it is for"),
	OPTION_OUTPUT,
	OPT_END,
};

static const struct opt_spec help_options[] = {
	OPT_ROW("man", '\0', OPT_FLAG, NULL, "the manual page, for man(1)"),
	OPT_ROW("bash", '\0', OPT_FLAG, NULL, "completion for bash"),
	OPT_END,
};
/* clang-format on */

static const char run_details[] =
	"Starts the target with the images, shows its console, and ends with the guest's own exit code.\n"
	"Without -i, -C or PW_EMU_WDIR the instance is a new one (run-<n>), so that parallel runs never meet.\n"
	"Words after `--` are the firmware's command line and turn semihosting on; where no FILE was given before,\n"
	"the first of them is FILE, so that `pwemu run TARGET --semihosting --` is a runner for cargo and CMake.\n"
	"\n"
	"Exit code: the guest's own; 1 a --fail was seen or an --expect was not; 124 timeout, 125 trouble of pwemu or the host, 126/127 "
	"the emulator is not\n"
	"executable/not found, 128+n the emulator died of signal n (134: lockup) or pwemu got signal n.\n"
	"It ends, and its instance with it, when the process that has started pwemu ends, unless --detach-parent is given.\n"
	"Where as many instances run as the daemon's setting max-running allows, it waits in the queue; --timeout does not count that.\n"
	"On a terminal Ctrl+] ends it with 0. The last line on stderr is the verdict: passed, failed, guest-fault,\n"
	"timeout, emulator-crash, emulator-error, pwemu-error, interrupted.\n"
	"\n"
	"--junit and --log-dir tell how a run ended that was interrupted or did not even start, too, and never change the exit code of "
	"one\n"
	"that did: a guest that ends with 0 although tests of it failed has passed, with a note. A test that did not end is an error with "
	"the\n"
	"verdict; a run without tests is one test case with the image's name. -n all looks for tests on every channel.";

#define RESTART_DETAILS                                                                                                                    \
	"POLICY is `no`, `on-failure` (after crashes of the emulator and kills from outside; the default of start) or `always` (after\n"   \
	"everything but a stop and a bad configuration, and after a reboot of the host), then, separated by commas, any of\n"              \
	"delay=100ms (before the first retry), factor=2 (it grows by), max-delay=30s (at most to), jitter=20% (random part of it),\n"      \
	"deaths=5 (quick deaths until it has failed), within=10m (only those are counted), stable=10s (no quick death any more).\n"

static const char lease_details[] =
	"An instance with a lease is stopped, with all its processes, when that on which the lease depends is gone: `client`, the pwemu "
	"that\n"
	"has started it (killed on the daemon's machine: at once; its connection cut, or the daemon restarted: unless it is back within "
	"the\n"
	"setting lease-grace, 10s); `pid:N`, a process of the same user on the daemon's machine; `ttl:TIME`, a time from the start on, "
	"which\n"
	"`lease renew` begins anew. A `run` has the lease client unless told otherwise, a `start` none, or that of $PWEMU_LEASE.";

static const char start_details[] = "Returns when the emulator is ready. Name the instance with -i; it is `default` otherwise.\n"
				    "With -F the exit codes are those of run.\n"
				    "\n" RESTART_DETAILS "\n"
				    "A TCP port or pseudo-terminal stays the same for the life of the instance, whatever is restarted.";

static const char load_details[] =
	"Writes an ELF, Intel hex or raw binary file into the memory of the board, flash too, resets it and lets it run from there.\n"
	"The file is checked against the board as at a start. An image without the vector table that the board boots from is started\n"
	"by what is there, as a boot loader does it. It goes through the emulator's gdb stub, so not while a debugger is attached.\n"
	"`pwemu reset` loads the same image again; a reset by the guest itself of a board that was started with -f boots the image of the\n"
	"start, and a restart, also an automatic one, begins with the images of the start.";

static const char prop_ls_details[] =
	"PATH is one of the emulator: /machine, /machine/unattached/device[2], or the end of one that names one device only (unattached).\n"
	"On a terminal the output is a table, otherwise JSON, unless -o says which.";

static const char prop_set_details[] =
	"VALUE is read by the property's own type: on, off, true, false, 1 or 0 for a bool; 12, 0x1f, 64K, 1M "
	"for a number;\n"
	"text as it is; anything else as JSON where it is that.";

static const char term_details[] =
	"Keys go to the guest, Ctrl-C too. Ctrl+] quits, doubled it is sent; Ctrl+T opens a menu. Several terms may look at a\n"
	"channel at once, one of them writes. Without a terminal, stdin goes to the guest and the output is unchanged.";

static const char gdb_details[] =
	"Runs the target's gdb (else arm-none-eabi-gdb, riscv64-unknown-elf-gdb or avr-gdb, or gdb-multiarch where that is not there),\n"
	"connected to the instance without a port. What follows `--` goes to gdb. When gdb has gone, however it went, no breakpoint is "
	"left\n"
	"and the guest runs or is paused as it was before. `kill` lets go of the guest. `monitor reset`, `reset halt`, `halt` and "
	"`resume`\n"
	"do what they do with OpenOCD, other monitor commands are the emulator's.\n"
	"\n"
	"Exit code: gdb's; 127 there is no gdb.";

static const char gdb_cmds_details[] =
	"Runs gdb commands one after the other, up to the first that fails; its exit code is 1 then. gdb as in `pwemu gdb`.\n"
	"\n"
	"Exit code: gdb's; 127 there is no gdb.";

static const char pipe_details[] =
	"Bytes of stdin go to the channel, its bytes to stdout, both unchanged. A serial is written in the writer role: refused while\n"
	"another has it. It goes on until the instance has ended; the end of stdin ends the input alone. Channels gdb, monitor and qmp "
	"take\n"
	"one at a time and end with stdin, monitor and qmp half a second after it.";

static const char wait_details[] =
	"Waits until all that is asked for has happened. What has happened already counts: patterns are looked for from the first byte\n"
	"of the latest start on, lines that are not finished (prompts) included; `$` matches where a line has ended only.\n"
	"Nothing is written to stdout.\n"
	"\n"
	"Exit code: 0 it has happened; 1 a --fail was seen, or it cannot happen any more since the instance has ended; 124 timeout.";

static const char check_details[] = "The configuration of a project is -c FILE, else the pwemu.json or pigweed.json in $PW_PROJECT_ROOT, "
				    "else in the current directory or\n"
				    "the nearest one above it that has one; pwemu.json wins where both are in one directory. Every target "
				    "is resolved for every emulator\n"
				    "it has. Exit code 1: there are errors, which are on stderr, each with file, line and path.";

static const char explain_details[] =
	"One line for each value: its name, what it is, and the file and line that set it, `preset NAME` or `default`. In JSON the target\n"
	"is there as message Target of proto/pwemu/v1/targets.proto.";
static const char send_details[] =
	"TEXT is sent as it is, `-` stands for stdin (any size, any bytes). It is typed beside your own term, without taking its role, "
	"and\n"
	"in one piece: what others type comes before or after it. No more than 4 KiB are sent ahead of what the emulator takes; what it "
	"has\n"
	"not taken when the daemon dies is reported, and never sent twice.\n"
	"stdout has one line: the offset of the channel's log before the text, where `wait --from OFFSET` begins. Patterns are looked for\n"
	"in what comes from there on, an echo of the text included.\n"
	"\n"
	"Exit code: 0 all of it was handed to the emulator (a short text also while the guest is paused: it waits there) and every\n"
	"--expect was seen; 1 a --fail was seen, or it was not taken; 124 timeout.";

static const char events_details[] =
	"What happened to instances and to the daemon: time, number, instance, kind, text. The numbers go on over restarts of the daemon;\n"
	"--from with the number after the last one seen misses nothing. With -i only those of one instance; then -f ends with 0 when\n"
	"it has ended for good. In JSON the names of the fields are those of message Event in proto/pwemu/v1/instances.proto.";

static const char share_details[] = "On a daemon of all users of a host an instance is its owner's alone until he shares it. `view`: state "
				    "and output; `write`: input to\n"
				    "its serial channels besides; `control`: everything, also gdb, monitor and qmp, with which one can run "
				    "commands as the owner. Who it\n"
				    "is shared with names it OWNER/NAME. What was shared with the same user or group before is replaced.";

static const char proxy_details[] =
	"What `pwemu -H ssh://[user@]host[:port]` runs on the other machine, through ssh: the connection to the daemon there, whose "
	"user's\n"
	"daemon it starts where there is none. Where pwemu is not in the PATH of that machine: -H 'ssh://host?pwemu=/path/of/pwemu'.\n"
	"$PWEMU_SSH is the command to use instead of ssh.";

static const char context_add_details[] =
	"A context is a daemon with a name. URL is what `pwemu token add` prints on the daemon's host, `-` reads it from stdin:\n"
	"tcp://HOST:PORT?ca=PIN&token=TOKEN, or unix:PATH. PIN is the SHA-256 of the CA's certificate, which the server must have; other "
	"keys\n"
	"are cert=FILE and key=FILE (a certificate of ours, instead of a token), cafile=FILE (believe that instead of a pin) and\n"
	"tls-server-name=NAME (what the server's certificate is for, where that is not HOST).\n"
	"\n"
	"The daemon is the one of -H, else of --context, $PWEMU_HOST, $PWEMU_CONTEXT, else the current context's, else that of this host.\n"
	"For a named one none is ever started. Contexts are kept in ~/.config/pwemu/contexts.json, which nobody else can read.";

static const char token_add_details[] =
	"Makes a token with which clients on other machines act as USER (default: you) and prints the line that is to be run there. Only\n"
	"root makes tokens for others. The daemon keeps no more than a hash of it. It must serve the network: pwemud --listen "
	"tcp://HOST:PORT.";

const struct command commands[] = {
	{ "run", "boot firmware, show its console, end with its exit code", "TARGET [FILE[@ADDR]...] [-- ARG...]", 1, ARGS_ANY, false, true,
	  run_options, cmd_run, run_details },
	{ "start", "start an instance and leave it running", "TARGET [-- ARG...]", 1, 1, false, true, start_options, cmd_start,
	  start_details },
	{ "restart", "stop an instance and start it again", "[TARGET [-- ARG...]]", 0, 1, false, true, start_options, cmd_restart,
	  "Without TARGET it is started as it was, with the same images, arguments and environment." },
	{ "stop", "stop instances", "", 0, 0, true, false, stop_options, cmd_stop, NULL },
	{ "reset", "reset the board", "", 0, 0, true, false, NULL, cmd_reset, NULL },
	{ "pause", "stop the guest, not the emulator", "", 0, 0, true, false, NULL, cmd_pause, NULL },
	{ "resume", "let a paused guest run on", "", 0, 0, true, false, NULL, cmd_resume, NULL },
	{ "rm", "forget ended instances and delete their logs", "", 0, 0, true, false, rm_options, cmd_rm, NULL },
	{ "load", "load an image into the running board", "FILE[@ADDR]", 1, 1, false, false, load_options, cmd_load, load_details },
	{ "prop-ls", "list the properties of a device", "PATH", 1, 1, false, false, output_options, cmd_prop_ls, prop_ls_details },
	{ "prop-get", "show a property of a device", "PATH PROPERTY", 2, 2, false, false, output_options, cmd_prop_get,
	  "Text is printed as it is, a bool as true or false, everything else as JSON; with -o json everything." },
	{ "prop-set", "change a property of a device", "PATH PROPERTY VALUE", 3, 3, false, false, output_options, cmd_prop_set,
	  prop_set_details },
	{ "term", "terminal on a channel", "[CHANNEL]", 0, 1, false, false, term_options, cmd_term, term_details },
	{ "pipe", "join stdin and stdout to a channel", "CHANNEL", 1, 1, false, false, pipe_options, cmd_pipe, pipe_details },
	{ "gdb", "debug the firmware", "[-- GDB-OPTION...]", 0, 0, false, true, gdb_options, cmd_gdb, gdb_details },
	{ "gdb-cmds", "run gdb commands", "COMMAND...", 1, ARGS_ANY, false, false, gdb_cmds_options, cmd_gdb_cmds, gdb_cmds_details },
	{ "logs", "what a channel has printed", "[CHANNEL]", 0, 1, false, false, logs_options, cmd_logs,
	  "From the first byte of the first boot, unless told otherwise. The channel `emulator` has the emulator's own messages." },
	{ "send", "type a text into a channel", "[CHANNEL] TEXT|-", 1, 2, false, false, send_options, cmd_send, send_details },
	{ "wait", "wait for a state, an end or an output", "", 0, 0, false, false, wait_options, cmd_wait, wait_details },
	{ "ls", "list instances", "", 0, 0, false, false, ls_options, cmd_ls, NULL },
	{ "status", "show one instance", "", 0, 0, true, false, output_options, cmd_status, "Exit code 3: not running." },
	{ "share", "let others look at an instance, write to it or control it", "view|write|control", 1, 1, false, false, share_options,
	  cmd_share, share_details },
	{ "unshare", "take that back", "", 0, 0, false, false, unshare_options, cmd_unshare,
	  "Of one user or group, or without --with of all. Streams that needed the right are closed." },
	{ "who", "who is attached to an instance", "", 0, 0, false, false, output_options, cmd_who,
	  "Who reads or writes a channel, since when, and who of them has the writer role (`term --steal` takes it)." },
	{ "lease ls", "list the leases of instances", "", 0, 0, false, false, output_options, cmd_lease_ls, lease_details },
	{ "lease renew", "have a lease of a time last from now on", "[TIME]", 0, 1, false, false, NULL, cmd_lease_renew,
	  "Without TIME it lasts as long as it was made for." },
	{ "lease rm", "take the lease away; the instance lives on", "", 0, 0, false, false, NULL, cmd_lease_rm, NULL },
	{ "events", "what happened, in order", "", 0, 0, false, false, events_options, cmd_events, events_details },
	{ "targets", "list what can be emulated, or show one target", "[NAME]", 0, 1, false, false, output_options, cmd_targets, NULL },
	{ "config check", "check every target of a configuration", "[FILE]", 0, 1, false, false, NULL, cmd_config_check, check_details },
	{ "config explain", "show what a target comes to, and who said so", "TARGET", 1, 1, false, false, explain_options,
	  cmd_config_explain, explain_details },
	{ "daemon info", "show the daemon", "", 0, 0, false, false, output_options, cmd_daemon_info, NULL },
	{ "daemon stop", "end the daemon; instances run on", "", 0, 0, false, false, daemon_stop_options, cmd_daemon_stop, NULL },
	{ "daemon restart", "end the daemon and start it again; instances run on", "", 0, 0, false, false, NULL, cmd_daemon_restart, NULL },
	{ "daemon reload", "have the daemon read its settings and targets again", "", 0, 0, false, false, NULL, cmd_daemon_reload, NULL },
	{ "daemon logs", "the daemon's log", "", 0, 0, false, false, daemon_logs_options, cmd_daemon_logs, NULL },
	{ "proxy", "join stdin and stdout to the daemon, for -H ssh://", "", 0, 0, false, false, NULL, cmd_proxy, proxy_details },
	{ "context add", "give a daemon a name", "NAME URL|-", 2, 2, false, false, context_add_options, cmd_context_add,
	  context_add_details },
	{ "context use", "choose the daemon that is used", "NAME|-", 1, 1, false, false, NULL, cmd_context_use,
	  "`-` or `default`: none of them, so the daemon of this host." },
	{ "context ls", "list contexts, without their tokens", "", 0, 0, false, false, output_options, cmd_context_ls, NULL },
	{ "context rm", "forget contexts", "NAME...", 1, ARGS_ANY, false, false, NULL, cmd_context_rm, NULL },
	{ "context ca", "print the CA that is pinned, in PEM", "", 0, 0, false, false, NULL, cmd_context_ca,
	  "For programs that want a CA and not a pin. It comes from the daemon, and is the one that is pinned." },
	{ "token add", "let somebody come in from the network", "[USER]", 0, 1, false, false, token_add_options, cmd_token_add,
	  token_add_details },
	{ "token ls", "list tokens", "", 0, 0, false, false, output_options, cmd_token_ls, "Your own; root sees all." },
	{ "token rm", "make tokens worthless and close their connections", "ID...", 1, ARGS_ANY, false, false, NULL, cmd_token_rm, NULL },
	{ "help", "help for a command", "[COMMAND]", 0, 2, false, false, help_options, cmd_help, NULL },
	{ .name = NULL },
};

static size_t group_length(const char *name)
{
	const char *blank = strchr(name, ' ');
	return blank != NULL ? (size_t)(blank - name) : 0;
}

bool commands_is_group(const char *word)
{
	for (const struct command *c = commands; c->name != NULL; c++)
		if (group_length(c->name) == strlen(word) && strncmp(c->name, word, strlen(word)) == 0)
			return true;
	return false;
}

const struct command *commands_find(int argc, char *const *argv, int *words)
{
	for (const struct command *c = commands; argc > 0 && c->name != NULL; c++) {
		size_t group = group_length(c->name);
		*words = group > 0 ? 2 : 1;
		if (group == 0 && strcmp(c->name, argv[0]) == 0)
			return c;
		if (group > 0 && argc > 1 && strlen(argv[0]) == group && strncmp(c->name, argv[0], group) == 0 &&
		    strcmp(c->name + group + 1, argv[1]) == 0)
			return c;
	}
	return NULL;
}

const char *commands_hint(const char *word, char *buf, size_t size)
{
	const char *names[MAX_COMMANDS];
	size_t count = 0;
	for (const struct command *c = commands; c->name != NULL && count < MAX_COMMANDS; c++)
		names[count++] = c->name;
	return nearest_hint(word, names, count, buf, size);
}
