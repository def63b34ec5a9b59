/* SPDX-License-Identifier: Apache-2.0 */
/* The answer of a child, as it grows from its parts. */
#include "loader/loader_answer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/budget.h"
#include "loader/loader_message.h"

/* For one more part. */
static bool reserve(struct loader_answer *answer)
{
	size_t needed = answer->size + LOADER_PART_SIZE;
	size_t capacity = answer->capacity * 2;
	char *bytes;

	if (needed <= answer->capacity)
		return true;
	if (capacity < needed)
		capacity = needed;
	bytes = budget_realloc(answer->account, answer->bytes, answer->capacity,
			       capacity);
	if (!bytes)
		return false;
	answer->bytes = bytes;
	answer->capacity = capacity;
	return true;
}

/* Takes over the descriptors if it returns 0. */
static int add_fds(struct loader_answer *answer,
		   const struct loader_parcel *parcel)
{
	unsigned count = answer->fd_count + parcel->fd_count;
	int *fds;

	if (parcel->fd_count == 0)
		return 0;
	if (count > LOADER_MAX_ANSWER_FDS)
		return -EPROTO;
	fds = realloc(answer->fds, count * sizeof(*fds));
	if (!fds)
		return -ENOMEM;
	memcpy(fds + answer->fd_count, parcel->fds,
	       parcel->fd_count * sizeof(*fds));
	answer->fds = fds;
	answer->fd_count = count;
	return 0;
}

static bool is_part(const struct loader_message *message, uint64_t serial,
		    size_t size)
{
	return message->type == LOADER_PART && message->serial == serial &&
	       message->size == size;
}

int loader_answer_receive(struct loader_answer *answer, int socket,
			  uint64_t serial)
{
	struct loader_message message;
	struct loader_parcel parcel;
	ssize_t n;
	int error;

	if (!reserve(answer))
		return -ENOMEM;
	n = loader_message_receive(socket, &message,
				   answer->bytes + answer->size,
				   LOADER_PART_SIZE, &parcel);
	if (n < 0)
		return (int)n;
	if (!is_part(&message, serial, (size_t)n) ||
	    (size_t)n > LOADER_MAX_ANSWER - answer->size)
		error = -EPROTO;
	else
		error = add_fds(answer, &parcel);
	if (error < 0)
		loader_parcel_close(&parcel);
	else
		answer->size += (size_t)n;
	return error;
}

int loader_answer_take(struct loader_answer *answer, uint32_t index)
{
	int fd;

	if (index >= answer->fd_count)
		return -1;
	fd = answer->fds[index];
	answer->fds[index] = -1;
	return fd;
}

void loader_answer_free(struct loader_answer *answer)
{
	for (unsigned i = 0; i < answer->fd_count; i++)
		if (answer->fds[i] >= 0)
			close(answer->fds[i]);
	free(answer->fds);
	budget_free(answer->account, answer->bytes, answer->capacity);
	memset(answer, 0, sizeof(*answer));
}
