/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LOADER_PROTOCOL_H
#define LOADER_PROTOCOL_H

#include <stdint.h>

/*
 * Between the node and the loader: a SOCK_SEQPACKET socket, a slot, for each
 * child that there may be at once, made before the loader is forked. A request
 * is one message, with a sealed memfd (its records, then its object) as the
 * first descriptor, and others behind that. The loader forks a child for it and
 * sends the node one end of a socket of this request alone. The child has the
 * other end and no slot, so that it can neither read a later request nor speak
 * for the loader; it answers there with parts, each with some descriptors. Then
 * the loader says, on the slot, how the child ended. Messages bear the
 * request's serial number: others are of a former one, and are dropped.
 *
 * The child of a LOADER_KEEP, a keeper, stays: behind its answer it closes that
 * socket. Then the node has the loader let it go, which ends the request. If
 * the node gives up instead, the loader closes what it has not read of the
 * answer.
 */
#define LOADER_MAX_FDS 250 /* in one message; SCM_MAX_FD is 253 */
#define LOADER_PART_SIZE 32768u
#define LOADER_MAX_ANSWER 1048576u /* bytes of records */
#define LOADER_MAX_ANSWER_FDS 1024
#define LOADER_LOG_SIZE 65536u /* the end of the verifier's log */
/* of a program, a map, a section; with its NUL */
#define LOADER_NAME_SIZE 256u

enum loader_job {
	LOADER_LOAD,         /* an ELF object */
	LOADER_INSTRUCTIONS, /* one program */
	LOADER_RUN,          /* BPF_PROG_TEST_RUN */
	LOADER_ATTACH,       /* what needs files or CAP_PERFMON */
	LOADER_KEEP,         /* an attachment that is no kernel link */
	LOADER_PERF,         /* perf events that programs can write to */
	LOADER_JOBS,
};

enum loader_message_type {
	LOADER_READY,   /* from the loader, on the first slot: it has started */
	LOADER_REQUEST, /* from the node */
	LOADER_CANCEL,  /* from the node: end that child */
	LOADER_STARTED, /* from the loader, with the socket of the answer */
	LOADER_PART,    /* from the child, on that socket */
	LOADER_ENDED,   /* from the loader: the last one */
	LOADER_LET_GO,  /* from the node: the keeper has answered */
};

enum loader_end {
	LOADER_END_EXITED,
	LOADER_END_KILLED,
	LOADER_END_TIMEOUT,
	LOADER_END_NO_MEMORY, /* there was no child */
};

struct loader_message {
	uint64_t serial;
	uint32_t type;
	uint32_t job;          /* LOADER_REQUEST */
	uint32_t records_size; /* LOADER_REQUEST: then the object's */
	uint32_t object_size;
	uint32_t fd_count; /* descriptors in this message */
	uint32_t end;      /* LOADER_ENDED: enum loader_end */
	uint32_t size;     /* LOADER_PART: bytes of records behind this */
	uint32_t
		signal; /* LOADER_END_KILLED: by which; 0: it failed to start */
};

/* Kinds of records in a request. Descriptors count from the one behind the
 * memfd. */
enum loader_option {
	LOADER_O_TYPES,        /* number: set of words, program_words.h */
	LOADER_O_MAP_MEMORY,   /* number: bytes that its maps may take */
	LOADER_O_MAX_MAPS,     /* number: of maps */
	LOADER_O_MAX_PROGRAMS, /* number: of programs */
	LOADER_O_NAME,         /* data: of the object, or the program */
	LOADER_O_LOG,          /* number: level 0..2 */
	/* LOADER_LOAD */
	LOADER_O_PROGRAM, /* name: load this one; none: all that auto-load */
	LOADER_O_NO_PROGRAMS,  /* load none */
	LOADER_O_MAP,          /* name, fd: use this map instead */
	LOADER_O_MAX_ENTRIES,  /* name, number */
	LOADER_O_VALUE_SIZE,   /* name, number */
	LOADER_O_INTEGER,      /* name of a variable, number: sign-extended */
	LOADER_O_LARGE,        /* the same, but a number from 2^63 on */
	LOADER_O_BYTES,        /* name of a variable, data */
	LOADER_O_PROGRAM_TYPE, /* name of a program, number: type */
	LOADER_O_ATTACH_TYPE,  /* name of a program, number: expected type */
	LOADER_O_ATTACH_TO, /* name of a program, data: function, tracepoint */
	/* LOADER_INSTRUCTIONS; the object is the instructions, loads of maps
	 * being BPF_PSEUDO_MAP_IDX(_VALUE): places among the descriptors */
	LOADER_O_TYPE,      /* number */
	LOADER_O_LICENSE,   /* data */
	LOADER_O_SLEEPABLE, /* - */
	/* LOADER_RUN; descriptor 0 is the program */
	LOADER_O_DATA,    /* data */
	LOADER_O_CONTEXT, /* data */
	LOADER_O_REPEAT,  /* number */
	LOADER_O_CPU,     /* number */
	/* LOADER_ATTACH, LOADER_KEEP; descriptor 0 is the program. To keep a
	 * sockmap takes its attach type, and the map as descriptor 1 */
	LOADER_O_TARGET, /* data: struct attach_target */
	/* LOADER_PERF */
	LOADER_O_WATERMARK, /* number: bytes that wake who reads an event */
};

/* Kinds of records in an answer. */
enum loader_result {
	LOADER_R_PROGRAM,     /* name, fd; number: its expected attach type,
				 data: name of its section */
	LOADER_R_MAP,         /* name, fd; number 1: asks to be pinned */
	LOADER_R_VARIABLE,    /* name, number: offset << 32 | size, data: name
				 of its map */
	LOADER_R_BTF,         /* fd: of the object's types */
	LOADER_R_RETURN,      /* number */
	LOADER_R_DATA,        /* data */
	LOADER_R_CONTEXT,     /* data */
	LOADER_R_NANOSECONDS, /* number */
	LOADER_R_LINK,        /* fd; several for one link */
	LOADER_R_LOG,         /* name of a program, data: verifier's log */
	/* nothing was made: there is no room for all that the object has;
	   number: maps << 32 | programs, data: uint64_t bytes of the maps; and
	   a LOADER_R_MAP without fd for each that asks to be pinned */
	LOADER_R_NEEDS,
	/* one of these if it failed */
	LOADER_R_ERRNO,    /* number: errno */
	LOADER_R_REJECTED, /* number: errno, name of a program, data: log */
	LOADER_R_OBJECT, /* data: what is wrong with the object or an option */
	LOADER_R_BADARG, /* data: what is wrong with an option */
	/* of LOADER_KEEP */
	LOADER_R_KEPT, /* fd: of the keeper */
	/* of LOADER_PERF */
	LOADER_R_EVENT, /* number: processor, fd: of its perf event */
};

#endif
