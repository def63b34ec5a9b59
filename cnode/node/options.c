/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads argv into struct options. One table serves getopt_long(3), the readers
 * of arguments and --help.
 */
#include "node/options.h"

#include "config.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bpf/program_words.h"
#include "functions/functions.h"
#include "host/host_name.h"

#define PROGRAM "ebpf_cnode"
#define KIB 1024u
#define MIB (1024u * KIB)
#define LOAD_MEMORY ((uint64_t)512 << 20)
#define MIN_LOAD_MEMORY ((uint64_t)128 << 20) /* libraries, types, a log */

/* Reads an argument: NULL, or what is wrong with it. */
typedef const char *(*reader)(struct options *options, const char *argument);

struct row {
	const char *name;
	const char *argument; /* NULL: it has none */
	const char *help;
	reader read;       /* NULL: a number, */
	size_t number;     /* at this offset in struct options, */
	uint32_t min, max; /* within these bounds */
};

static const char *read_sname(struct options *options, const char *argument);
static const char *read_name(struct options *options, const char *argument);
static const char *read_cookie_file(struct options *options,
				    const char *argument);
static const char *read_listen(struct options *options, const char *argument);
static const char *read_no_epmd(struct options *options, const char *argument);
static const char *read_tls(struct options *options, const char *argument);
static const char *read_tls_min(struct options *options, const char *argument);
static const char *read_tls_names(struct options *options,
				  const char *argument);
static const char *read_tls_or_plain(struct options *options,
				     const char *argument);
static const char *read_log_level(struct options *options,
				  const char *argument);
static const char *read_log_format(struct options *options,
				   const char *argument);
static const char *read_file_root(struct options *options,
				  const char *argument);
static const char *read_user(struct options *options, const char *argument);
static const char *read_no_open_by_id(struct options *options,
				      const char *argument);
static const char *read_no_sandbox(struct options *options,
				   const char *argument);
static const char *read_until_eof(struct options *options,
				  const char *argument);
static const char *read_allow(struct options *options, const char *argument);
static const char *read_read_only(struct options *options,
				  const char *argument);
static const char *read_pin_root(struct options *options, const char *argument);
static const char *read_max_map_memory(struct options *options,
				       const char *argument);
static const char *read_max_memory(struct options *options,
				   const char *argument);
static const char *read_programs(struct options *options, const char *argument);
static const char *read_load_memory(struct options *options,
				    const char *argument);
static const char *read_netns_root(struct options *options,
				   const char *argument);
static const char *read_vmlinux_types(struct options *options,
				      const char *argument);
static const char *read_keep(struct options *options, const char *argument);
static const char *read_forget(struct options *options, const char *argument);

#define NUMBER(member, low, high)                                              \
	.number = offsetof(struct options, member), .min = (low), .max = (high)

static const struct row rows[] = {
	{ "sname", "NAME[@HOST]", "short node name, as erl -sname (ebpf)",
	  .read = read_sname },
	{ "name", "NAME@HOST", "long node name, as erl -name",
	  .read = read_name },
	{ "cookie-file", "FILE",
	  "file of the cookie (~/.erlang.cookie, made if missing)",
	  .read = read_cookie_file },
	{ "listen", "ADDRESS",
	  "IPv4 or IPv6 address to listen on; repeatable (0.0.0.0)",
	  .read = read_listen },
	{ "port", "PORT", "port to listen on (0: any free one)",
	  NUMBER(port, 0, 65535) },
	{ "no-epmd", NULL,
	  "register with no epmd, and start none; takes --port",
	  .read = read_no_epmd },
	{ "tls", "DIR",
	  "nodes connect by TLS; DIR has cert.pem, key.pem, ca.pem",
	  .read = read_tls },
	{ "tls-min", "VERSION", "oldest version of TLS: 1.2 or 1.3 (1.2)",
	  .read = read_tls_min },
	{ "tls-names", "WHICH",
	  "host: a certificate has to name its node's host; or any (host)",
	  .read = read_tls_names },
	{ "tls-or-plain", NULL,
	  "nodes may also connect without TLS, to move a cluster",
	  .read = read_tls_or_plain },
	{ "max-connections", "N", "nodes connected at once (1024)",
	  NUMBER(max_connections, 1, 1000000) },
	{ "max-handshakes", "N",
	  "handshakes at once; one more drops the oldest (128)",
	  NUMBER(max_handshakes, 1, 100000) },
	{ "max-message", "BYTES", "longest request or answer (16777216)",
	  NUMBER(max_message, 4 * KIB, 1024 * MIB) },
	{ "max-waiting", "BYTES",
	  "disconnect a node that leaves more unread for --ticktime (4194304)",
	  NUMBER(max_waiting, 512 * KIB, 1024 * MIB) },
	{ "max-memory", "BYTES",
	  "memory of all large requests and answers together (536870912)",
	  .read = read_max_memory },
	{ "max-maps", "N", "open map handles (10000)",
	  NUMBER(max_maps, 1, 1u << 18) },
	{ "max-maps-per-node", "N", "open map handles of one node (no limit)",
	  NUMBER(max_maps_per_node, 1, 1u << 18) },
	{ "max-map-memory", "BYTES",
	  "memory of the maps created, or none (half of all memory)",
	  .read = read_max_map_memory },
	{ "max-pins", "N", "pins where callers may pin, by anyone (4096)",
	  NUMBER(max_pins, 1, 1000000) },
	{ "grace", "SECONDS",
	  "keep the maps of a disconnected node this long (60)",
	  NUMBER(grace, 0, 1000000) },
	{ "ticktime", "SECONDS",
	  "disconnect a node after this much silence (60)",
	  NUMBER(ticktime, 1, 100000) },
	{ "file-root", "DIR",
	  "callers may name files below it, for inode_storage (none)",
	  .read = read_file_root },
	{ "allow", "PATTERN=PERMISSION",
	  "load, rw, ro or none to nodes of such names, or of such "
	  "certificates by cert:DNS:PATTERN and the like; repeatable (*=rw)",
	  .read = read_allow },
	{ "read-only", NULL, "no node may write, whatever --allow says",
	  .read = read_read_only },
	{ "pin-root", "DIR",
	  "callers may pin, unpin and open pins only below it (/)",
	  .read = read_pin_root },
	{ "programs", "WORDS",
	  "load programs of these types: xdp,tc,cgroup,... or all (none)",
	  .read = read_programs },
	{ "max-programs", "N", "open handles of programs and links (1000)",
	  NUMBER(max_programs, 1, 1u << 18) },
	{ "max-programs-per-node", "N",
	  "open handles of programs and links of one node (no limit)",
	  NUMBER(max_programs_per_node, 1, 1u << 18) },
	{ "max-subscriptions", "N", "subscriptions to events (256)",
	  NUMBER(max_subscriptions, 1, 65536) },
	{ "max-loads", "N",
	  "programs loaded, run or attached at once (number of processors)",
	  NUMBER(max_loads, 1, OPTIONS_MAX_LOADS) },
	{ "load-seconds", "SECONDS", "end a load that takes longer (10)",
	  NUMBER(load_seconds, 1, 3600) },
	{ "run-seconds", "SECONDS", "end a run that takes longer (1)",
	  NUMBER(run_seconds, 1, 3600) },
	{ "load-memory", "BYTES", "address space of a load (536870912)",
	  .read = read_load_memory },
	{ "netns-root", "DIR",
	  "callers may name network namespaces below it (none)",
	  .read = read_netns_root },
	{ "keep", "DIR",
	  "keep handles over a restart, in this folder of a bpf file system "
	  "(none)",
	  .read = read_keep },
	{ "forget", NULL, "drop all that --keep has kept, and exit",
	  .read = read_forget },
	{ "vmlinux-types", NULL,
	  "layouts may name types of the kernel; takes 6 MiB of memory",
	  .read = read_vmlinux_types },
	{ "user", "USER", "become this user, with its groups, once started",
	  .read = read_user },
	{ "no-open-by-id", NULL,
	  "drop CAP_SYS_ADMIN: no list, no opening by id or name",
	  .read = read_no_open_by_id },
	{ "no-sandbox", NULL,
	  "no seccomp, no Landlock, core dumps allowed: for debugging",
	  .read = read_no_sandbox },
	{ "log-level", "LEVEL",
	  "error, warning, notice, info or debug (notice)",
	  .read = read_log_level },
	{ "log-format", "FORMAT",
	  "one line an event, as text or as a json object (text)",
	  .read = read_log_format },
	{ "until-eof", NULL, "end when standard input ends",
	  .read = read_until_eof },
	{ "functions", NULL, "print the functions that are served, and exit",
	  .read = NULL },
	{ "version", NULL, "print the version, and exit", .read = NULL },
	{ "help", NULL, "print this, and exit", .read = NULL },
};

#define ROWS (sizeof(rows) / sizeof(rows[0]))

/* --- Names -------------------------------------------------------------- */

static bool is_name_character(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') || c == '_' || c == '-';
}

/* Copies text; false if it does not fit, or has other characters. */
static bool copy_name(char *to, size_t size, const char *text, size_t length,
		      const char *also)
{
	if (length == 0 || length >= size)
		return false;
	for (size_t i = 0; i < length; i++)
		if (!is_name_character(text[i]) && !strchr(also, text[i]))
			return false;
	memcpy(to, text, length);
	to[length] = '\0';
	return true;
}

static const char *read_node_name(struct options *options, const char *argument)
{
	const char *at = strchrnul(argument, '@');

	if (!copy_name(options->alive, sizeof(options->alive), argument,
		       (size_t)(at - argument), ""))
		return "a name consists of letters, digits, _ and -";
	if (*at && !copy_name(options->host, sizeof(options->host), at + 1,
			      strlen(at + 1), ".:"))
		return "a host consists of letters, digits, _, -, . and :";
	return NULL;
}

static const char *read_sname(struct options *options, const char *argument)
{
	const char *wrong;

	options->host[0] = '\0';
	wrong = read_node_name(options, argument);
	if (!wrong && strchr(options->host, '.'))
		wrong = "the host of a short name has no dot; use --name";
	return wrong;
}

static const char *read_name(struct options *options, const char *argument)
{
	const char *wrong;

	options->host[0] = '\0';
	wrong = read_node_name(options, argument);
	if (!wrong && !strpbrk(options->host, ".:"))
		wrong = "a long name is NAME@HOST, HOST with a dot; "
			"use --sname for a short one";
	return wrong;
}

/* --- Other arguments ---------------------------------------------------- */

static const char *read_cookie_file(struct options *options,
				    const char *argument)
{
	options->cookie_file = argument;
	return *argument ? NULL : "the file name is missing";
}

static const char *read_listen(struct options *options, const char *argument)
{
	if (options->listen_count == LISTENERS_MAX)
		return "that is more than 16 addresses";
	if (!address_parse(argument, &options->listen[options->listen_count]))
		return "give an address such as 127.0.0.1 or ::1, or :: for "
		       "all of both kinds";
	options->listen_count++;
	return NULL;
}

static const char *read_no_epmd(struct options *options, const char *argument)
{
	(void)argument;
	options->no_epmd = true;
	return NULL;
}

static const char *read_tls(struct options *options, const char *argument)
{
	options->tls = argument;
	return *argument ? NULL : "the folder is missing";
}

static const char *read_tls_min(struct options *options, const char *argument)
{
	options->tls_only_1_3 = strcmp(argument, "1.3") == 0;
	return options->tls_only_1_3 || strcmp(argument, "1.2") == 0
		       ? NULL
		       : "give 1.2 or 1.3";
}

static const char *read_tls_names(struct options *options, const char *argument)
{
	options->tls_any_name = strcmp(argument, "any") == 0;
	return options->tls_any_name || strcmp(argument, "host") == 0
		       ? NULL
		       : "give host or any";
}

static const char *read_tls_or_plain(struct options *options,
				     const char *argument)
{
	(void)argument;
	options->tls_or_plain = true;
	return NULL;
}

static const char *read_log_level(struct options *options, const char *argument)
{
	return log_level_from_name(argument, &options->log_level)
		       ? NULL
		       : "give error, warning, notice, info or debug";
}

/* Sets it at once, so that errors in later arguments are logged like that. */
static const char *read_log_format(struct options *options,
				   const char *argument)
{
	enum log_format format;

	(void)options;
	if (!log_format_from_name(argument, &format))
		return "give text or json";
	log_set_format(format);
	return NULL;
}

static const char *read_file_root(struct options *options, const char *argument)
{
	options->file_root = argument;
	return *argument == '/' ? NULL : "give an absolute path";
}

static const char *read_user(struct options *options, const char *argument)
{
	return user_find(&options->user, argument);
}

static const char *read_no_open_by_id(struct options *options,
				      const char *argument)
{
	(void)argument;
	options->no_open_by_id = true;
	return NULL;
}

static const char *read_no_sandbox(struct options *options,
				   const char *argument)
{
	(void)argument;
	options->no_sandbox = true;
	return NULL;
}

static const char *read_until_eof(struct options *options, const char *argument)
{
	(void)argument;
	options->until_eof = true;
	return NULL;
}

static const char *read_allow(struct options *options, const char *argument)
{
	return permissions_add(&options->permissions, argument);
}

static const char *read_read_only(struct options *options, const char *argument)
{
	(void)argument;
	options->permissions.read_only = true;
	return NULL;
}

static const char *read_pin_root(struct options *options, const char *argument)
{
	options->pin_root = argument;
	return *argument == '/' ? NULL : "give an absolute path";
}

static const char *read_keep(struct options *options, const char *argument)
{
	options->keep = argument;
	return *argument == '/' ? NULL : "give an absolute path";
}

static const char *read_forget(struct options *options, const char *argument)
{
	(void)argument;
	options->forget = true;
	return NULL;
}

/* 64 bits, unlike read_number(). */
static const char *read_bytes(uint64_t *bytes, const char *argument)
{
	unsigned long long value;
	char *end;

	errno = 0;
	value = strtoull(argument, &end, 10);
	if (argument[0] < '0' || argument[0] > '9' || *end || errno != 0 ||
	    value < 4096)
		return "give a number of bytes, at least 4096";
	*bytes = value;
	return NULL;
}

static const char *read_max_map_memory(struct options *options,
				       const char *argument)
{
	if (strcmp(argument, "none") != 0)
		return read_bytes(&options->max_map_memory, argument);
	options->max_map_memory = UINT64_MAX;
	return NULL;
}

static const char *read_max_memory(struct options *options,
				   const char *argument)
{
	return read_bytes(&options->max_memory, argument);
}

static const char *read_programs(struct options *options, const char *argument)
{
	return program_words_read(argument, &options->programs);
}

static const char *read_load_memory(struct options *options,
				    const char *argument)
{
	const char *wrong = read_bytes(&options->load_memory, argument);

	return wrong || options->load_memory < MIN_LOAD_MEMORY
		       ? "give a number of bytes, at least 134217728"
		       : NULL;
}

static const char *read_netns_root(struct options *options,
				   const char *argument)
{
	options->netns_root = argument;
	return *argument == '/' ? NULL : "give an absolute path";
}

static const char *read_vmlinux_types(struct options *options,
				      const char *argument)
{
	(void)argument;
	options->vmlinux_types = true;
	return NULL;
}

static const char *read_number(struct options *options, const struct row *row,
			       const char *argument)
{
	static char wrong[64];
	char *end;
	unsigned long long value = strtoull(argument, &end, 10);

	if (argument[0] < '0' || argument[0] > '9' || *end ||
	    value < row->min || value > row->max) {
		snprintf(wrong, sizeof(wrong), "give a number from %u to %u",
			 row->min, row->max);
		return wrong;
	}
	*(uint32_t *)(void *)((char *)options + row->number) = (uint32_t)value;
	return NULL;
}

/* --- The command line --------------------------------------------------- */

static void print_help(void)
{
	char left[40];

	printf("Usage: " PROGRAM " [OPTION]...\n"
	       "Serves the eBPF maps and programs of this host to an Erlang "
	       "cluster.\n\n");
	for (size_t i = 0; i < ROWS; i++) {
		snprintf(left, sizeof(left), "--%s%s%s", rows[i].name,
			 rows[i].argument ? " " : "",
			 rows[i].argument ? rows[i].argument : "");
		printf("  %-26s %s\n", left, rows[i].help);
	}
	printf("\nSIGUSR1 logs a line of statistics; with --tls, SIGHUP reads "
	       "certificates anew.\n\n"
	       "ERL_EPMD_PORT is the port of epmd; ERL_EPMD_ADDRESS is where "
	       "an epmd started by\nthis program listens.\n\n"
	       "Exit status: 0 ended by a signal or the end of input; 1 other "
	       "failures;\n2 command line; 3 cookie; 4 missing privilege; "
	       "5 address or port not free;\n6 no epmd; 7 node name taken; "
	       "8 files of --tls.\n");
}

static enum options_result print(const char *name)
{
	if (strcmp(name, "functions") == 0)
		functions_print(stdout);
	else if (strcmp(name, "version") == 0)
		printf(PROGRAM " " PACKAGE_VERSION "\n");
	else
		print_help();
	if (fflush(stdout) == 0)
		return OPTIONS_DONE;
	log_error("standard output: %s", strerror(errno));
	return OPTIONS_LOST;
}

static void make_long_options(struct option *long_options)
{
	memset(long_options, 0, (ROWS + 1) * sizeof(*long_options));
	for (size_t i = 0; i < ROWS; i++) {
		long_options[i].name = rows[i].name;
		long_options[i].has_arg =
			rows[i].argument ? required_argument : no_argument;
	}
}

static void set_defaults(struct options *options)
{
	*options = (struct options){
		.alive = "ebpf",
		.max_connections = 1024,
		.max_handshakes = 128,
		.max_message = 16 * MIB,
		.max_waiting = 4 * MIB,
		.max_maps = 10000,
		.max_maps_per_node = UINT32_MAX,
		.max_pins = 4096,
		.grace = 60,
		.ticktime = 60,
		.max_programs = 1000,
		.max_programs_per_node = UINT32_MAX,
		.max_subscriptions = 256,
		.load_seconds = 10,
		.run_seconds = 1,
		.load_memory = LOAD_MEMORY,
		.log_level = LOG_NOTICE,
	};
}

static bool is_number(const struct row *row)
{
	return row->argument && !row->read;
}

static enum options_result read_row(struct options *options,
				    const struct row *row, const char *argument)
{
	const char *wrong;

	if (!row->read && !is_number(row))
		return print(row->name);
	wrong = is_number(row) ? read_number(options, row, argument)
			       : row->read(options, argument);
	if (!wrong)
		return OPTIONS_RUN;
	log_error("--%s %s: %s; see " PROGRAM " --help", row->name, argument,
		  wrong);
	return OPTIONS_BAD;
}

/* Does not log the part behind =, which might be a cookie. */
static enum options_result bad_usage(const char *argument, const char *wrong)
{
	log_error("%.*s: %s; see " PROGRAM " --help",
		  (int)strcspn(argument, "="), argument, wrong);
	return OPTIONS_BAD;
}

/* getopt_long(3) would take --cookie SECRET for --cookie-file. */
static bool is_whole(const char *argument, const char *name)
{
	size_t size = strlen(name);

	return strncmp(argument, "--", 2) == 0 &&
	       strncmp(argument + 2, name, size) == 0 &&
	       (argument[2 + size] == '\0' || argument[2 + size] == '=');
}

static bool is_option(const char *argument)
{
	for (size_t i = 0; i < ROWS; i++)
		if (is_whole(argument, rows[i].name))
			return true;
	return false;
}

enum options_result options_read(struct options *options, int argc,
				 char *argv[])
{
	struct option long_options[ROWS + 1];
	enum options_result result;
	int c, at, index = 0;

	set_defaults(options);
	make_long_options(long_options);
	/* +: argv is not permuted, so argv[at] is the current argument */
	for (at = optind;
	     (c = getopt_long(argc, argv, "+:", long_options, &index)) != -1;
	     at = optind) {
		if (c == ':')
			return bad_usage(argv[at], "its argument is missing");
		if (c == '?' || !is_whole(argv[at], rows[index].name))
			return bad_usage(argv[at],
					 is_option(argv[at])
						 ? "it takes no argument"
						 : "no such option");
		result = read_row(options, &rows[index], optarg);
		if (result != OPTIONS_RUN)
			return result;
	}
	if (optind < argc)
		return bad_usage(argv[optind], "unexpected argument");
	if (!options_settle(options))
		return OPTIONS_BAD;
	log_set_level(options->log_level);
	if (!options->host[0] && !host_name_find(options->host))
		return bad_usage("--sname",
				 "this host has no name; give NAME@HOST");
	return OPTIONS_RUN;
}
