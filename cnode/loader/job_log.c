/* SPDX-License-Identifier: Apache-2.0 */
/* Buffers for the verifier's log, of which the end is what tells. */
#include "loader/job_log.h"

#include <string.h>
#include <sys/mman.h>

char *job_log_new(size_t size)
{
	void *log = mmap(NULL, size, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return log == MAP_FAILED ? NULL : log;
}

void job_log_free(char *log, size_t size)
{
	if (log)
		munmap(log, size);
}

size_t job_log_length(const char *log, size_t size)
{
	return log ? strnlen(log, size) : 0;
}

void job_log_end(const char *log, size_t size, size_t most,
		 struct record *record)
{
	const char *end = log + size, *line;

	record->data = log;
	record->size = size;
	if (size <= most)
		return;
	log = end - most;
	line = memchr(log, '\n', most);
	if (line && line + 1 < end)
		log = line + 1;
	record->data = log;
	record->size = (size_t)(end - log);
}
