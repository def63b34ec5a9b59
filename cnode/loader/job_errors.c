/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors of jobs. libbpf returns an errno and prints the reason, by a function
 * that takes no context: so the last lines are kept here, in a process that
 * does one job.
 */
#include "loader/job_errors.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/posix.h"
#include "loader/job_log.h"

#define TEXT_SIZE 1024
#define HEARD_SIZE 2048
#define LIBBPF_ERRORS 4000 /* libbpf's own, see libbpf_strerror() */
#define PREFIX "libbpf: "

static struct {
	char text[HEARD_SIZE]; /* whole lines */
	size_t size;
	char refused[256]; /* a program */
} heard;

/* --- What libbpf prints ------------------------------------------------- */

/* Names in it are the object's. */
static void make_printable(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			*text = *text == '\n' ? '\n' : '?';
}

static void forget_first_line(void)
{
	char *end = memchr(heard.text, '\n', heard.size);
	size_t size = end ? (size_t)(end - heard.text) + 1 : heard.size;

	heard.size -= size;
	memmove(heard.text, heard.text + size, heard.size);
}

static void keep(const char *line)
{
	size_t size = strlen(line);

	while (heard.size > 0 && heard.size + size > sizeof(heard.text))
		forget_first_line();
	memcpy(heard.text + heard.size, line, size);
	heard.size += size;
}

__attribute__((format(printf, 2, 0))) static int
hear(enum libbpf_print_level level, const char *format, va_list arguments)
{
	static const char refused[] =
		PREFIX "prog '%s': BPF program load failed";
	char line[512];
	va_list copy;

	if (level != LIBBPF_WARN)
		return 0;
	if (strncmp(format, refused, sizeof(refused) - 1) == 0) {
		va_copy(copy, arguments);
		snprintf(heard.refused, sizeof(heard.refused), "%s",
			 va_arg(copy, const char *));
		va_end(copy);
	}
	vsnprintf(line, sizeof(line), format, arguments);
	make_printable(line);
	keep(strncmp(line, PREFIX, strlen(PREFIX)) == 0 ? line + strlen(PREFIX)
							: line);
	return 0;
}

void job_errors_listen(void)
{
	libbpf_set_print(hear);
}

const char *job_errors_refused(void)
{
	return *heard.refused ? heard.refused : NULL;
}

/* --- Answers ------------------------------------------------------------ */

static int posix_of(int error)
{
	if (error == POSIX_ENOTSUPP)
		return EOPNOTSUPP;
	return error > 0 && error < LIBBPF_ERRORS ? error : EINVAL;
}

bool job_errors_posix(struct job_answer *answer, int error)
{
	const struct record record = { .kind = LOADER_R_ERRNO,
				       .number = (uint64_t)posix_of(error) };

	job_answer_add(answer, &record, -1);
	return false;
}

static bool add_text(struct job_answer *answer, enum loader_result kind,
		     const char *text, size_t size)
{
	const struct record record = { .kind = kind,
				       .data = text,
				       .size = size };

	job_answer_add(answer, &record, -1);
	return false;
}

__attribute__((format(printf, 3, 0))) static bool
add_format(struct job_answer *answer, enum loader_result kind,
	   const char *format, va_list arguments)
{
	char text[TEXT_SIZE];

	vsnprintf(text, sizeof(text), format, arguments);
	make_printable(text);
	return add_text(answer, kind, text, strlen(text));
}

bool job_errors_badarg(struct job_answer *answer, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	add_format(answer, LOADER_R_BADARG, format, arguments);
	va_end(arguments);
	return false;
}

bool job_errors_object(struct job_answer *answer, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	add_format(answer, LOADER_R_OBJECT, format, arguments);
	va_end(arguments);
	return false;
}

bool job_errors_denied(struct job_answer *answer, const char *name,
		       const char *what)
{
	char text[TEXT_SIZE];
	const struct record record = {
		.kind = LOADER_R_ERRNO,
		.number = EACCES,
		.name = name,
		.data = text,
		.size = (size_t)snprintf(text, sizeof(text),
					 "%.64s is not allowed by --programs",
					 what),
	};

	job_answer_add(answer, &record, -1);
	return false;
}

/* For want of memory or a right an errno says it all. */
static bool says_it_all(int error)
{
	return error == ENOMEM || error == EPERM || error == EMFILE ||
	       error == ENOSYS;
}

bool job_errors_libbpf(struct job_answer *answer, int error)
{
	char text[256];

	if (says_it_all(error))
		return job_errors_posix(answer, error);
	if (heard.size > 0)
		return add_text(answer, LOADER_R_OBJECT, heard.text,
				heard.size - 1);
	libbpf_strerror(error, text, sizeof(text));
	return job_errors_object(answer, "%s", text);
}

bool job_errors_rejected(struct job_answer *answer, int error, const char *name,
			 const char *log, size_t size)
{
	struct record record = {
		.kind = size == 0 && says_it_all(error) ? LOADER_R_ERRNO
							: LOADER_R_REJECTED,
		.number = (uint64_t)posix_of(error),
		.name = name,
	};

	job_log_end(log, size, LOADER_LOG_SIZE, &record);
	job_answer_add(answer, &record, -1);
	return false;
}
