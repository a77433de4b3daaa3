/* SPDX-License-Identifier: MIT */
/*
 * What an object says of itself in its section mr_abi. A daemon loads nothing that an unprivileged
 * user could have written, whoever names it.
 */
#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <libelf.h>
#include <linux/types.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/mr_verdict.h"
#include "user/daemon/programs.h"

enum {
	OBJECT_BYTES_MOST = 16 << 20,
};

static Elf_Data *section_named(Elf *elf, const char *wanted)
{
	Elf_Scn *section = NULL;
	size_t names;

	if (elf_getshdrstrndx(elf, &names))
		return NULL;
	while ((section = elf_nextscn(elf, section))) {
		const char *name;
		GElf_Shdr header;

		if (!gelf_getshdr(section, &header))
			continue;
		name = elf_strptr(elf, names, header.sh_name);
		if (name && !strcmp(name, wanted))
			return elf_getdata(section, NULL);
	}
	return NULL;
}

int mr_object_abi(void *bytes, size_t len, struct mr_abi *out)
{
	const Elf_Data *data;
	int err = 0;
	Elf *elf;

	elf_version(EV_CURRENT);
	elf = elf_memory(bytes, len);
	if (!elf || elf_kind(elf) != ELF_K_ELF) {
		elf_end(elf);
		return -ENOEXEC;
	}
	data = section_named(elf, "mr_abi");
	if (data && data->d_buf && data->d_size == sizeof(*out))
		memcpy(out, data->d_buf, sizeof(*out));
	else
		err = -ENOENT;
	elf_end(elf);
	return err;
}

static int fail(int err, char *words, size_t room, const char *path, const char *what)
{
	snprintf(words, room, "%s: %s", path, what);
	return err;
}

static int read_file(int fd, const char *path, struct mr_object_file *out, char *words, size_t room)
{
	struct stat s;
	ssize_t n;

	if (fstat(fd, &s) < 0)
		return fail(-errno, words, room, path, strerror(errno));
	if (!S_ISREG(s.st_mode) || s.st_uid != 0 || s.st_mode & (S_IWGRP | S_IWOTH))
		return fail(-EACCES, words, room, path,
			    "must be a file of root that nobody else may write; chown root: and "
			    "chmod go-w it");
	if (s.st_size <= 0 || s.st_size > OBJECT_BYTES_MOST)
		return fail(-EFBIG, words, room, path, "is empty or larger than 16 MiB");
	out->len = (size_t)s.st_size;
	out->bytes = malloc(out->len);
	if (!out->bytes)
		return fail(-ENOMEM, words, room, path, strerror(ENOMEM));
	n = pread(fd, out->bytes, out->len, 0);
	if (n == (ssize_t)out->len)
		return 0;
	mr_object_free(out);
	return fail(-EIO, words, room, path, "cannot be read whole; try again");
}

static int check_abi(struct mr_object_file *o, const char *path, char *words, size_t room)
{
	int err = mr_object_abi(o->bytes, o->len, &o->abi);

	if (err == -ENOEXEC)
		return fail(err, words, room, path, "is no BPF object; name a millrace.bpf.o");
	if (err || o->abi.magic != MR_ABI_MAGIC)
		return fail(-ENOENT, words, room, path,
			    "has no ABI record: it is not Millrace's, or of an older release");
	if (o->abi.major == MR_ABI_MAJOR && o->abi.n_verdicts == MR_VERDICT_COUNT)
		return 0;
	snprintf(words, room,
		 "%s: is of ABI %u with %u verdicts, this millraced is of ABI %d with %d; restart "
		 "the millraced of its release instead",
		 path, o->abi.major, o->abi.n_verdicts, MR_ABI_MAJOR, MR_VERDICT_COUNT);
	return -EPROTO;
}

int mr_object_read(const char *path, struct mr_object_file *out, char *words, size_t room)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	int err;

	*out = (struct mr_object_file){ 0 };
	if (fd < 0)
		return fail(-errno, words, room, path, strerror(errno));
	err = read_file(fd, path, out, words, room);
	close(fd);
	if (!err)
		err = check_abi(out, path, words, room);
	if (err)
		mr_object_free(out);
	return err;
}

void mr_object_free(struct mr_object_file *o)
{
	free(o->bytes);
	o->bytes = NULL;
}
