/* SPDX-License-Identifier: Apache-2.0 */
/*
 * This node's pids:
 *
 *	NEW_PID_EXT Node Id:32 Serial:32 Creation:32
 *
 * All bits of these numbers are significant between nodes with DFLAG_V4_NC,
 * which OTP has since 24.
 */
#include "dist/pids.h"

#include <string.h>

#include "term/term_bytes.h"

#define NUMBERS_SIZE ((size_t)3 * 4)

bool pids_init(struct pids *pids, ei_cnode *node)
{
	int self_size = 0, size = 0;
	erlang_pid pid;

	/* ei makes 15 bits of id and 13 of serial unique */
	if (ei_make_pid(node, &pid) < 0)
		return false;
	pid.serial = pid.serial << 15 | pid.num;
	if (ei_encode_pid(pids->self, &self_size, &node->self) < 0 ||
	    ei_encode_pid(pids->fresh, &size, &pid) < 0)
		return false;
	pids->size = (size_t)size;
	return size == self_size;
}

struct term pids_self(const struct pids *pids)
{
	return (struct term){ .at = pids->self, .size = pids->size };
}

struct term pids_make(struct pids *pids)
{
	put32(pids->fresh + pids->size - NUMBERS_SIZE, ++pids->made);
	return (struct term){ .at = pids->fresh, .size = pids->size };
}
