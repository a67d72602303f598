/* SPDX-License-Identifier: Apache-2.0 */
#include <event2/event.h>
#include <inttypes.h>
#include <unistd.h>

#include "client/cli.h"
#include "client/commands.h"
#include "client/drain.h"
#include "client/feed.h"
#include "client/lines.h"
#include "client/ref.h"
#include "client/say.h"
#include "client/sink.h"
#include "client/stamp.h"

#define FIRST_TAIL 65536
#define LAST_TAIL  (1ULL << 40) /* more than any log */

struct logs {
	struct cli *cli;
	struct sink *sink;
	struct feed *feed;
	struct stamp stamp;
	bool stamped, ended;
	bool is_placed; /* `next` is known */
	uint64_t next;  /* offset of the byte that comes next, unless it is gone */
	struct err status;
	int broken; /* errno of stdout, 0: none */
};

/* ---------------------------------------------------------------- copying */

static void check_done(struct logs *logs)
{
	if (logs->broken != 0 || (logs->ended && sink_is_empty(logs->sink)))
		event_base_loopbreak(logs->cli->conn.base);
}

static void write_output(void *ctx, const char *bytes, size_t len)
{
	struct logs *logs = ctx;
	sink_write(logs->sink, bytes, len);
}

/* A bounded log loses its oldest bytes, also under a reader that is too slow. */
static void note_gap(struct logs *logs, const Pwemu__V1__Data *data)
{
	uint64_t gone = logs->is_placed && data->offset > logs->next ? data->offset - logs->next : 0;
	if (gone > 0 && logs->next == 0)
		say_note("%" PRIu64 " bytes of the beginning are gone: the log keeps the newest only", gone);
	else if (gone > 0)
		say_note("%" PRIu64 " bytes from offset %" PRIu64 " on are gone: the log keeps the newest only", gone, logs->next);
	logs->is_placed = true;
	logs->next = data->offset + data->bytes.len;
}

static void on_data(void *ctx, struct feed *feed, const Pwemu__V1__Data *data)
{
	struct logs *logs = ctx;
	note_gap(logs, data);
	if (logs->stamped)
		stamp_write(&logs->stamp, data, write_output, logs);
	else
		write_output(logs, (const char *)data->bytes.data, data->bytes.len);
	if (sink_is_full(logs->sink))
		feed_pause(feed);
}

static void on_end(void *ctx, struct feed *feed, const struct err *status)
{
	(void)feed;
	struct logs *logs = ctx;
	logs->ended = true;
	logs->status = *status;
	check_done(logs);
}

static void on_drained(void *ctx)
{
	struct logs *logs = ctx;
	feed_resume(logs->feed);
	check_done(logs);
}

static void on_broken(void *ctx, int error)
{
	struct logs *logs = ctx;
	logs->broken = error;
	check_done(logs);
}

static int exit_code(const struct logs *logs)
{
	if (logs->broken != 0)
		return cli_output_failed(logs->broken);
	return logs->status.code != ERR_OK ? cli_refused(&logs->status) : EXIT_DONE;
}

/* The daemon has gone: goes on with the next one from where we are. */
static bool resume(struct logs *logs, const struct feed_ops *ops)
{
	struct conn *conn = &logs->cli->conn;
	if (logs->broken != 0 || !logs->ended || !conn_is_lost(conn, &logs->status) || conn_reopen(conn, &logs->status) < 0)
		return false;
	struct feed *old = logs->feed;
	struct feed_config config = feed_continuation(old);
	logs->ended = false;
	logs->feed = feed_new(conn, &config, ops, logs);
	feed_free(old);
	return true;
}

static int copy(struct cli *cli, const struct feed_config *config)
{
	static const struct feed_ops feed_ops = { .on_data = on_data, .on_end = on_end };
	static const struct sink_ops sink_ops = { .on_drained = on_drained, .on_broken = on_broken };
	struct logs logs = { .cli = cli, .stamped = config->times };
	logs.is_placed = config->from.at_case == PWEMU__V1__POSITION__AT_OFFSET;
	logs.next = logs.is_placed ? config->from.offset : 0;
	logs.stamp.since_boot = opt_is(&cli->opts, "time", "boot");
	logs.sink = sink_new(cli->conn.base, STDOUT_FILENO, &sink_ops, &logs);
	logs.feed = feed_new(&cli->conn, config, &feed_ops, &logs);
	do
		event_base_loop(cli->conn.base, EVLOOP_NO_EXIT_ON_EMPTY);
	while (resume(&logs, &feed_ops));
	feed_free(logs.feed);
	sink_free(logs.sink);
	return exit_code(&logs);
}

/* ---------------------------------------------------------------- --lines */

static void count_lines(void *ctx, const Pwemu__V1__Data *data)
{
	lines_feed(ctx, data->offset, data->bytes.data, data->bytes.len);
}

/* Moves config->from to where the last `wanted` lines begin. Without a beginning asked for, the log is read from its end backwards in
 * growing pieces. */
static int find_lines(struct cli *cli, struct feed_config *config, size_t wanted, bool from_end, struct err *err)
{
	struct feed_config probe = *config;
	probe.follow = probe.times = false;
	probe.attach = false;
	bool found = false;
	for (uint64_t tail = FIRST_TAIL; !found; tail *= 16) {
		struct lines lines;
		lines_init(&lines, wanted);
		if (from_end) {
			probe.from.at_case = PWEMU__V1__POSITION__AT_TAIL;
			probe.from.tail = tail;
		}
		if (drain_feed(&cli->conn, &probe, count_lines, &lines, err) < 0) {
			lines_fini(&lines);
			return -1;
		}
		found = !from_end || lines_has_enough(&lines) || lines.first == 0 || tail >= LAST_TAIL;
		if (found && lines.any) {
			config->from.at_case = PWEMU__V1__POSITION__AT_OFFSET;
			config->from.offset = lines_start(&lines);
		}
		lines_fini(&lines);
	}
	return 0;
}

/* ---------------------------------------------------------------- the command */

static void set_beginning(const struct cli *cli, struct feed_config *config)
{
	config->from = (Pwemu__V1__Position)PWEMU__V1__POSITION__INIT;
	config->from.at_case = PWEMU__V1__POSITION__AT_OFFSET;
	if (opt_has(&cli->opts, "boot")) {
		config->from.at_case = PWEMU__V1__POSITION__AT_BOOT_NUMBER;
		config->from.boot_number = (int32_t)opt_integer(&cli->opts, "boot", 0);
		config->one_boot = true;
	}
	opt_position(&cli->opts, "from", &config->from);
}

static int show(struct cli *cli, const Pwemu__V1__Instance *inst, const char *channel)
{
	struct err err = ERR_INIT;
	struct feed_config config = { .instance_id = inst->id, .channel = channel };
	size_t wanted = (size_t)opt_integer(&cli->opts, "lines", 0);
	bool from_end = !opt_has(&cli->opts, "boot") && !opt_has(&cli->opts, "from");
	config.follow = opt_has(&cli->opts, "follow");
	config.times = opt_has(&cli->opts, "time");
	set_beginning(cli, &config);
	if (opt_has(&cli->opts, "lines") && wanted == 0)
		config.from.at_case = PWEMU__V1__POSITION__AT_NOW;
	else if (wanted > 0 && find_lines(cli, &config, wanted, from_end, &err) < 0)
		return cli_refused(&err);
	return copy(cli, &config);
}

int cmd_logs(struct cli *cli)
{
	const char *channel = cli->opts.arg_count > 0 ? cli->opts.args[0] : opt_text(&cli->opts, "channel");
	Pwemu__V1__Instance *inst = NULL;
	struct err err = ERR_INIT;
	if (opt_has(&cli->opts, "boot") && opt_has(&cli->opts, "from"))
		return cli_usage(cli, "--boot and --from exclude each other");
	if (cli_connect(cli, CONN_START) < 0)
		return EXIT_REFUSED;
	if (ref_get(cli, 0, &inst, &err) < 0)
		return cli_refused(&err);
	int code = show(cli, inst, channel);
	pwemu__v1__instance__free_unpacked(inst, NULL);
	return code;
}
