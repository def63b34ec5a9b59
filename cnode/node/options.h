/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <ei.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "call/permissions.h"
#include "dist/listeners.h"
#include "host/user.h"

/* The command line. */
struct options {
	char alive[EI_MAXALIVELEN + 1]; /* the name before the @ */
	char host[EI_MAXHOSTNAMELEN + 1];
	const char *cookie_file; /* NULL: as for erl */
	const char *file_root;   /* NULL: no file may be named */
	const char *pin_root;    /* NULL: pins may be anywhere */
	const char *netns_root;  /* NULL: no network namespace may be named */
	const char *keep;        /* NULL: handles end with the process */
	const char *tls;         /* NULL: without TLS */
	struct permissions permissions;
	struct user user;
	struct address listen[LISTENERS_MAX];
	unsigned listen_count;
	uint32_t port; /* 0: any free one */
	uint32_t max_connections;
	uint32_t max_handshakes;
	uint32_t max_message; /* bytes */
	uint32_t max_waiting; /* bytes */
	uint32_t max_maps;
	uint32_t max_maps_per_node;
	uint64_t max_map_memory; /* bytes; 0: not given; UINT64_MAX: no limit */
	uint32_t max_pins;
	uint64_t max_memory; /* bytes */
	uint32_t grace;      /* s */
	uint32_t ticktime;   /* s */
	uint32_t programs;   /* set of program_words.h; 0: none */
	uint32_t max_programs;
	uint32_t max_programs_per_node;
	uint32_t max_subscriptions;
	uint32_t max_loads; /* at once; 0: not given */
	uint32_t load_seconds;
	uint32_t run_seconds;
	uint64_t load_memory; /* bytes */
	enum log_level log_level;
	bool until_eof;
	bool forget;
	bool no_open_by_id;
	bool no_epmd;
	bool tls_only_1_3;
	bool tls_any_name;
	bool tls_or_plain;
	bool no_sandbox;
	bool vmlinux_types;
};

enum options_result {
	OPTIONS_RUN,
	OPTIONS_DONE, /* --help or the like has been printed */
	OPTIONS_BAD,  /* an error has been logged */
	OPTIONS_LOST, /* standard output failed; it has been logged */
};

#define OPTIONS_MAX_LOADS 256

/*
 * Once all have been read: completes them by each other. False: they do not fit
 * together, which has been logged.
 */
bool options_settle(struct options *options);

enum options_result options_read(struct options *options, int argc,
				 char *argv[]);

#endif
