/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What proves that a node is the one that owns: the names in its certificate.
 * They are kept over a restart, as the handles of that owner are.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "handles/handles_internal.h"

/* As it is in the folder; behind it are the node's name and those names. */
struct owner_record {
	uint8_t type; /* STATE_OWNER */
	uint8_t zero;
	uint16_t node_size;
	uint32_t creation;
	uint32_t names_size;
};

_Static_assert(sizeof(struct owner_record) == 12, "no padding");

bool handle_proof_suffices(const struct holder *holder,
			   const struct cert_names *names)
{
	const struct handles_owner *owner;

	if (!names)
		return true;
	LIST_FOREACH(owner, &holder->owners, of_name)
	if (owner->names.bytes && !cert_names_share(&owner->names, names))
		return false;
	return true;
}

bool handles_is_of_another(struct handles *h, const char *name,
			   const struct cert_names *names)
{
	const struct holder *holder;
	bool suffices;

	pthread_rwlock_rdlock(&h->lock);
	holder = holders_find(&h->holders, name);
	suffices = !holder || handle_proof_suffices(holder, names);
	pthread_rwlock_unlock(&h->lock);
	return !suffices;
}

/* --- Keeping ------------------------------------------------------------- */

static void drop_record(const struct handles *h, struct handles_owner *owner)
{
	if (h->keeper.state && owner->record > 0)
		state_drop(h->keeper.state, owner->record);
	owner->record = 0;
}

static int write_record(const struct handles *h, struct handles_owner *owner)
{
	size_t node_size = strlen(owner->holder->node);
	struct owner_record record = {
		.type = STATE_OWNER,
		.node_size = (uint16_t)node_size,
		.creation = owner->creation,
		.names_size = (uint32_t)owner->names.size,
	};
	size_t size = sizeof(record) + node_size + owner->names.size;
	char *bytes = malloc(size);
	int error = bytes ? state_take(h->keeper.state, size, &owner->record)
			  : -ENOMEM;

	if (error == 0) {
		memcpy(bytes, &record, sizeof(record));
		memcpy(bytes + sizeof(record), owner->holder->node, node_size);
		memcpy(bytes + sizeof(record) + node_size, owner->names.bytes,
		       owner->names.size);
		state_write(h->keeper.state, owner->record, bytes, size);
	}
	free(bytes);
	return error;
}

static bool is_same(const struct cert_names *a, const struct cert_names *b)
{
	return a->size == b->size &&
	       (a->size == 0 || memcmp(a->bytes, b->bytes, a->size) == 0);
}

int handle_proof_set(const struct handles *h, struct handles_owner *owner,
		     const struct cert_names *names)
{
	struct cert_names copy;
	uint32_t before = owner->record;

	if (!names || is_same(&owner->names, names))
		return 0;
	if (!cert_names_copy(&copy, names->bytes, names->size))
		return -ENOMEM;
	cert_names_free(&owner->names);
	owner->names = copy;
	owner->record = 0;
	owner->unkept = h->keeper.state ? write_record(h, owner) : 0;
	if (h->keeper.state && before > 0)
		state_drop(h->keeper.state, before);
	return 0;
}

void handle_proof_free(const struct handles *h, struct handles_owner *owner)
{
	drop_record(h, owner);
	cert_names_free(&owner->names);
}

/* --- Over a restart
 * ----------------------------------------------------------- */

/* Texts that end with a NUL, each of one that is not empty. */
static bool are_names(const char *bytes, size_t size)
{
	if (size == 0 || size > CERT_NAMES_MAX || bytes[size - 1] != '\0')
		return false;
	for (size_t i = 0; i < size; i++)
		if (bytes[i] == '\0' && (i == 0 || bytes[i - 1] == '\0'))
			return false;
	return true;
}

static bool read_record(const void *bytes, size_t size, char *node,
			struct owner_record *record, const char **names)
{
	const char *at = bytes;

	if (size < sizeof(*record))
		return false;
	memcpy(record, bytes, sizeof(*record));
	at += sizeof(*record);
	if (record->node_size >= MAXATOMLEN_UTF8 ||
	    record->node_size + (uint64_t)record->names_size !=
		    size - sizeof(*record) ||
	    memchr(at, '\0', record->node_size))
		return false;
	memcpy(node, at, record->node_size);
	node[record->node_size] = '\0';
	*names = at + record->node_size;
	return are_names(*names, record->names_size);
}

static struct handles_owner *find(const struct holder *holder,
				  uint32_t creation)
{
	struct handles_owner *owner;

	LIST_FOREACH(owner, &holder->owners, of_name)
	if (owner->creation == creation)
		return owner;
	return NULL;
}

int handles_restore_owner(struct handles *h, uint32_t number, const void *bytes,
			  size_t size)
{
	struct owner_record record;
	struct handles_owner *owner;
	char node[MAXATOMLEN_UTF8];
	struct holder *holder;
	const char *names;

	if (!read_record(bytes, size, node, &record, &names))
		return -EBADMSG;
	holder = holders_open(&h->holders, node);
	owner = holder ? find(holder, record.creation) : NULL;
	holders_close(holder);
	if (!owner)
		return holder ? -ENOENT : -ENOMEM;
	if (owner->record > 0)
		return -EEXIST;
	if (!cert_names_copy(&owner->names, names, record.names_size))
		return -ENOMEM;
	owner->record = number;
	return 0;
}
