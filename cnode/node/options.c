/* SPDX-License-Identifier: Apache-2.0 */
/*
 * argv to struct options. One table serves getopt_long(3), the reading of
 * arguments and --help.
 */
#include "node/options.h"

#include "config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "functions/functions.h"
#include "host/host_name.h"

#define PROGRAM "ebpf_cnode"
#define KIB 1024u
#define MIB (1024u * KIB)
#define MAX_MEMORY ((uint64_t)512 << 20)
/* of an answer: a value, and the output buffer while it grows */
#define MESSAGE_COPIES 4

/* Reads an argument: NULL, or what is wrong with it. */
typedef const char *(*reader)(struct options *options, const char *argument);

struct row {
	const char *name;
	const char *argument; /* NULL: it has none */
	const char *help;
	reader read;       /* for what is no number */
	size_t number;     /* else: where in struct options, */
	uint32_t min, max; /* and its bounds */
};

static const char *read_sname(struct options *options, const char *argument);
static const char *read_name(struct options *options, const char *argument);
static const char *read_cookie_file(struct options *options,
				    const char *argument);
static const char *read_listen(struct options *options, const char *argument);
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

#define NUMBER(member, low, high)                                              \
	.number = offsetof(struct options, member), .min = (low), .max = (high)

static const struct row rows[] = {
	{ "sname", "NAME[@HOST]", "short node name, as erl -sname (ebpf)",
	  .read = read_sname },
	{ "name", "NAME@HOST", "long node name, as erl -name",
	  .read = read_name },
	{ "cookie-file", "FILE",
	  "the cookie's file (~/.erlang.cookie, made if there is none)",
	  .read = read_cookie_file },
	{ "listen", "ADDRESS", "IPv4 address to listen on (0.0.0.0)",
	  .read = read_listen },
	{ "port", "PORT", "port to listen on (0: any that is free)",
	  NUMBER(port, 0, 65535) },
	{ "max-connections", "N", "connected nodes at once (1024)",
	  NUMBER(max_connections, 1, 1000000) },
	{ "max-handshakes", "N",
	  "connections still in handshake; then the oldest goes (128)",
	  NUMBER(max_handshakes, 1, 100000) },
	{ "max-message", "BYTES", "longest request and answer (16777216)",
	  NUMBER(max_message, 4 * KIB, 1024 * MIB) },
	{ "max-waiting", "BYTES",
	  "what may wait for a node beyond --ticktime (4194304)",
	  NUMBER(max_waiting, 512 * KIB, 1024 * MIB) },
	{ "max-memory", "BYTES",
	  "what large requests and answers may take, all together (536870912)",
	  .read = read_max_memory },
	{ "max-maps", "N", "map handles at once (10000)",
	  NUMBER(max_maps, 1, 1u << 18) },
	{ "max-maps-per-node", "N", "and of one node (no limit)",
	  NUMBER(max_maps_per_node, 1, 1u << 18) },
	{ "max-map-memory", "BYTES",
	  "what the maps that are made may take, or none (half of all memory)",
	  .read = read_max_map_memory },
	{ "max-pins", "N",
	  "pins where callers may pin, whoever made them (4096)",
	  NUMBER(max_pins, 1, 1000000) },
	{ "grace", "SECONDS",
	  "how long the maps of a node that is gone are kept (60)",
	  NUMBER(grace, 0, 1000000) },
	{ "ticktime", "SECONDS",
	  "a node that is silent for so long is hung up (60)",
	  NUMBER(ticktime, 1, 100000) },
	{ "file-root", "DIR",
	  "below which callers may name files, for inode_storage (none)",
	  .read = read_file_root },
	{ "allow", "PATTERN=rw|ro|none",
	  "what nodes of such names may do; may be repeated (*=rw)",
	  .read = read_allow },
	{ "read-only", NULL, "nobody may write, whatever --allow says",
	  .read = read_read_only },
	{ "pin-root", "DIR",
	  "below which callers may pin, unpin and open what is pinned (/)",
	  .read = read_pin_root },
	{ "user", "USER", "become that user once started, with its groups",
	  .read = read_user },
	{ "no-open-by-id", NULL,
	  "give up CAP_SYS_ADMIN: no list, no opening by id or name",
	  .read = read_no_open_by_id },
	{ "no-sandbox", NULL,
	  "no seccomp, no Landlock, core dumps as they are: for debugging",
	  .read = read_no_sandbox },
	{ "log-level", "LEVEL",
	  "error, warning, notice, info or debug (notice)",
	  .read = read_log_level },
	{ "log-format", "FORMAT",
	  "text or json: a line an event, of words or a JSON object (text)",
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

/* Copies text up to end; false where it does not fit or is no name. */
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
		return "a name is of letters, digits, _ and -";
	if (*at && !copy_name(options->host, sizeof(options->host), at + 1,
			      strlen(at + 1), ".:"))
		return "a host is of letters, digits, _, -, . and :";
	return NULL;
}

static const char *read_sname(struct options *options, const char *argument)
{
	const char *wrong;

	options->host[0] = '\0';
	wrong = read_node_name(options, argument);
	if (!wrong && strchr(options->host, '.'))
		wrong = "the host of a short name has no dots; use --name";
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
	return *argument ? NULL : "the name of a file is missing";
}

static const char *read_listen(struct options *options, const char *argument)
{
	return inet_pton(AF_INET, argument, &options->listen) == 1
		       ? NULL
		       : "it is no IPv4 address such as 127.0.0.1";
}

static const char *read_log_level(struct options *options, const char *argument)
{
	return log_level_from_name(argument, &options->log_level)
		       ? NULL
		       : "it is none of error, warning, notice, info, debug";
}

/* At once: what is wrong with the next argument is logged so too. */
static const char *read_log_format(struct options *options,
				   const char *argument)
{
	enum log_format format;

	(void)options;
	if (!log_format_from_name(argument, &format))
		return "it is neither text nor json";
	log_set_format(format);
	return NULL;
}

static const char *read_file_root(struct options *options, const char *argument)
{
	options->file_root = argument;
	return *argument == '/' ? NULL : "it is no absolute path";
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
	return *argument == '/' ? NULL : "it is no absolute path";
}

/* Of more bits than the others. */
static const char *read_bytes(uint64_t *bytes, const char *argument)
{
	unsigned long long value;
	char *end;

	errno = 0;
	value = strtoull(argument, &end, 10);
	if (argument[0] < '0' || argument[0] > '9' || *end || errno != 0 ||
	    value < 4096)
		return "it is no number of bytes, from 4096 on";
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

static const char *read_number(struct options *options, const struct row *row,
			       const char *argument)
{
	static char wrong[64];
	char *end;
	unsigned long long value = strtoull(argument, &end, 10);

	if (argument[0] < '0' || argument[0] > '9' || *end ||
	    value < row->min || value > row->max) {
		snprintf(wrong, sizeof(wrong), "it is no number from %u to %u",
			 row->min, row->max);
		return wrong;
	}
	*(uint32_t *)(void *)((char *)options + row->number) = (uint32_t)value;
	return NULL;
}

/* --- All of it ---------------------------------------------------------- */

static void print_help(void)
{
	char left[40];

	printf("Usage: " PROGRAM " [OPTION]...\n"
	       "Serves the eBPF maps of this host to the nodes of an Erlang "
	       "cluster.\n\n");
	for (size_t i = 0; i < ROWS; i++) {
		snprintf(left, sizeof(left), "--%s%s%s", rows[i].name,
			 rows[i].argument ? " " : "",
			 rows[i].argument ? rows[i].argument : "");
		printf("  %-26s %s\n", left, rows[i].help);
	}
	printf("\nSIGUSR1 has what was done so far logged, in a line.\n");
	printf("\nERL_EPMD_PORT is the port of epmd, ERL_EPMD_ADDRESS what an "
	       "epmd that is started\nhere listens on.\n\n"
	       "Exit status: 0 ended by a signal or the end of input; 1 other "
	       "failures;\n2 command line; 3 cookie; 4 missing privilege; "
	       "5 address or port not free;\n6 no epmd; 7 node name taken.\n");
}

static enum options_result print_what_is_asked(const char *name)
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
		.listen.s_addr = htonl(INADDR_ANY),
		.max_connections = 1024,
		.max_handshakes = 128,
		.max_message = 16 * MIB,
		.max_waiting = 4 * MIB,
		.max_maps = 10000,
		.max_maps_per_node = UINT32_MAX,
		.max_pins = 4096,
		.grace = 60,
		.ticktime = 60,
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
		return print_what_is_asked(row->name);
	wrong = is_number(row) ? read_number(options, row, argument)
			       : row->read(options, argument);
	if (!wrong)
		return OPTIONS_RUN;
	log_error("--%s %s: %s; see " PROGRAM " --help", row->name, argument,
		  wrong);
	return OPTIONS_BAD;
}

/* Without what stands behind =: it might be a cookie. */
static enum options_result bad_usage(const char *argument, const char *wrong)
{
	log_error("%.*s: %s; see " PROGRAM " --help",
		  (int)strcspn(argument, "="), argument, wrong);
	return OPTIONS_BAD;
}

/* What was not given is enough. */
static bool settle_max_memory(struct options *options)
{
	uint64_t needed = (uint64_t)options->max_message * MESSAGE_COPIES;

	if (options->max_memory == 0)
		options->max_memory = needed > MAX_MEMORY ? needed : MAX_MEMORY;
	if (options->max_memory >= needed)
		return true;
	log_error("--max-memory %llu: it is less than %llu, %d times "
		  "--max-message, which a request may take; see " PROGRAM
		  " --help",
		  (unsigned long long)options->max_memory,
		  (unsigned long long)needed, MESSAGE_COPIES);
	return false;
}

/* getopt_long(3) takes --cookie for --cookie-file; what would be in it? */
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
	/* argv[at] is what is looked at: no option moves, none is cut short */
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
		return bad_usage(argv[optind], "no argument goes here");
	if (!settle_max_memory(options))
		return OPTIONS_BAD;
	log_set_level(options->log_level);
	if (!options->host[0] && !host_name_find(options->host))
		return bad_usage("--sname",
				 "this host has no name; give NAME@HOST");
	return OPTIONS_RUN;
}
