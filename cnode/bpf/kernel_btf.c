/* SPDX-License-Identifier: Apache-2.0 */
/*
 * BTF in the kernel, to and from libbpf's struct btf. Not by libbpf's own
 * functions: they read BTF of any size from any descriptor, and where the
 * kernel refuses one, they try again for its log, in a buffer of 16 MiB. Only
 * the kernel's own types, a file that no caller names, are read by libbpf.
 */
#include "bpf/kernel_btf.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/btf.h>
#include <stdlib.h>
#include <unistd.h>

#include "bpf/resource.h"

#define MAX_SIZE (16u << 20) /* the kernel's BTF_MAX_SIZE */

/* For resource_check_kind() alone. */
static const struct resource_kind btf_kind_of_fd = { .inode = "btf" };

static int read_info(int fd, struct bpf_btf_info *info)
{
	uint32_t size = sizeof(*info);

	return bpf_obj_get_info_by_fd(fd, info, &size);
}

/* The kernel has checked the data, but for what libbpf takes for granted. */
static int parse(const void *data, uint32_t size, struct btf **btf)
{
	const struct btf_header *header = data;

	if (header->hdr_len % sizeof(uint32_t))
		return -EINVAL;
	*btf = btf__new(data, size);
	return *btf ? 0 : -errno;
}

static int read_data(int fd, uint32_t size, struct btf **btf)
{
	void *data = malloc(size);
	struct bpf_btf_info info = {
		.btf = (uint64_t)(uintptr_t)data,
		.btf_size = size,
	};
	int error = data ? read_info(fd, &info) : -ENOMEM;

	if (error == 0)
		error = info.btf_size == size ? parse(data, size, btf)
					      : -EINVAL;
	free(data);
	return error;
}

int kernel_btf_read(int fd, uint32_t *id, struct btf **btf)
{
	struct bpf_btf_info info = { 0 };
	int error = resource_check_kind(fd, &btf_kind_of_fd);

	if (error == 0)
		error = read_info(fd, &info);
	if (error < 0)
		return error;
	if (info.kernel_btf)
		return -EOPNOTSUPP;
	if (info.btf_size < sizeof(struct btf_header))
		return -EINVAL;
	if (info.btf_size > MAX_SIZE)
		return -E2BIG;
	*id = info.id;
	return read_data(fd, info.btf_size, btf);
}

int kernel_btf_open(uint32_t id, struct btf **btf)
{
	int fd = bpf_btf_get_fd_by_id(id);
	int error;

	if (fd < 0)
		return fd;
	error = kernel_btf_read(fd, &id, btf);
	close(fd);
	return error;
}

int kernel_btf_load(const struct btf *btf)
{
	uint32_t size;
	const void *data = btf__raw_data(btf, &size);

	return data ? bpf_btf_load(data, size, NULL) : -ENOMEM;
}

int kernel_btf_read_own(struct btf **btf)
{
	*btf = btf__parse_raw(KERNEL_BTF_OWN);
	return *btf ? 0 : -errno;
}
