/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The name of this host, by the rules of OTP's inet_config.erl: the part of
 * gethostname(2) before the first dot if it has one; otherwise that of the
 * canonical name, if the name services know one within eight seconds.
 */
#include "host/host_name.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "host/child.h"

#define MOST_MS 8000 /* as erl waits for its own resolver */

struct name {
	char text[EI_MAXHOSTNAMELEN + 1];
};

/* False if it is empty, or too long for a node name. */
static bool take_label(struct name *label, const char *name)
{
	size_t size = strcspn(name, ".");

	if (size == 0 || size >= sizeof(label->text))
		return false;
	memcpy(label->text, name, size);
	label->text[size] = '\0';
	return true;
}

/* By gethostbyname(3) and for IPv4, as erl does. */
static int resolve(void *result, const void *about)
{
	const char *name = about;
	const struct hostent *entry = gethostbyname(name);

	if (!entry || !entry->h_name || !entry->h_name[0])
		return ENOENT;
	return take_label(result, entry->h_name) ? 0 : ENAMETOOLONG;
}

bool host_name_find(char host[EI_MAXHOSTNAMELEN + 1])
{
	char own[256] = "";
	struct name label = { "" }, canonical = { "" };
	const struct child_task task = {
		.work = resolve,
		.about = label.text,
		.what = "the name services of this host, for its canonical "
			"name; --sname NAME@HOST goes without",
		.most_ms = MOST_MS,
	};
	int error;

	if (gethostname(own, sizeof(own) - 1) < 0 ||
	    !take_label(&label, own[0] ? own : "nohost"))
		return false;
	error = strchr(own, '.')
			? ENOENT
			: child_ask(&task, &canonical, sizeof(canonical));
	if (error == ENAMETOOLONG)
		return false;
	if (error == ETIMEDOUT)
		log_notice("the name services do not answer: using host %s",
			   label.text);
	memcpy(host, error ? label.text : canonical.text, sizeof(label.text));
	return true;
}
