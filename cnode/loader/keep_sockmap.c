/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs of maps of sockets, for kernels without links for them. A map has
 * one program of each type.
 */
#include "loader/keep_sockmap.h"

#include <bpf/bpf.h>
#include <errno.h>

int keep_sockmap_attach(int program_fd, int map_fd, uint32_t attach_type)
{
	uint32_t id = 0, count = 1;
	int error = bpf_prog_query(map_fd, (enum bpf_attach_type)attach_type, 0,
				   NULL, &id, &count);

	if (error == -EINVAL)
		return -EOPNOTSUPP;
	if (error < 0)
		return error;
	if (count > 0)
		return -EBUSY;
	return bpf_prog_attach(program_fd, map_fd,
			       (enum bpf_attach_type)attach_type, 0);
}

/* The kernel compares: ENOENT is that of another program, or of none. */
int keep_sockmap_detach(int program_fd, int map_fd, uint32_t attach_type)
{
	int error = bpf_prog_detach2(program_fd, map_fd,
				     (enum bpf_attach_type)attach_type);

	return error == -ENOENT ? 0 : error;
}
