# Sums folded stacks (frames separated by ";", then a count) by what they are for. The first rule that fits counts.
function stage(stack) {
    if (stack ~ /leaf_hash|blake3/) return "BLAKE3: leaves and ids"
    if (stack ~ /rusty_erasure|datamesh_erasure/) return "Reed-Solomon"
    if (stack ~ /datamesh_seal.*(seal|open)_(segment|frame)|open_frame|seal_segment|seal_frame/) return "seal or open (AES-256-GCM)"
    if (stack ~ /crc_fast|checksum/) return "CRC of records"
    if (stack ~ /rustls/ && stack ~ /(gcm|aes|Aead|encrypt|decrypt|Encrypter|Decrypter)/) return "TLS: records sealed and opened"
    if (stack ~ /rocksdb/) return "RocksDB"
    if (stack ~ /tcp_sendmsg|sock_sendmsg|__sys_sendto|sock_write_iter|sys_writev/) return "network: send"
    if (stack ~ /tcp_recvmsg|sock_recvmsg|__sys_recvfrom|sock_read_iter/) return "network: receive"
    if (stack ~ /pwritev2|vfs_write|ext4_file_write|pwrite/) return "disk: write"
    if (stack ~ /fdatasync|ext4_sync|fsync/) return "disk: sync"
    if (stack ~ /preadv2|pread64|vfs_read|ext4_file_read|iomap_dio/) return "disk: read"
    if (stack ~ /asm_sysvec|irq|softirq|net_rx|napi|virtio|blk_/) return "interrupts"
    if (stack ~ /asm_exc_page_fault|do_user_addr_fault|madvise|munmap|mmap|brk/) return "memory: faults and mapping"
    if (stack ~ /epoll|futex|schedule|sched_|eventfd|nanosleep/) return "waiting and waking"
    if (stack ~ /memmove|memcpy|memset/) return "copies in user space"
    if (stack ~ /malloc|calloc|_int_free|cfree|realloc/) return "allocation"
    if (stack ~ /rustls/) return "TLS: the rest"
    if (stack ~ /hyper|axum|tower|http/) return "HTTP"
    if (stack ~ /libp2p/) return "libp2p"
    if (stack ~ /tokio/) return "tokio"
    return "the rest"
}
{
    count = $NF
    sum[stage($0)] += count
    all += count
}
END {
    for (name in sum)
        printf "%5.1f %%  %5.2f CPU-s/GB  %s\n", 100 * sum[name] / all, cost * sum[name] / all, name | "sort -rn"
}
