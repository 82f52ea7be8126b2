//! A line of blocks that shows how something went.

/// Cells of a line at most; more values than that share them.
const WIDTH: usize = 30;
const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// `values`, oldest first, between nothing and the highest of them.
pub(crate) fn spark(values: &[u64]) -> String {
    let means: Vec<u64> = values.chunks(values.len().div_ceil(WIDTH).max(1)).map(mean).collect();
    let most = means.iter().copied().max().unwrap_or(0).max(1);
    means.into_iter().map(|value| block(value, most)).collect()
}

/// With the highest value, in words of the caller's: `▁▂█ up to 1500m`; empty without values.
pub(crate) fn spark_up_to(values: &[u64], word: impl Fn(u64) -> String) -> String {
    values.iter().max().map_or_else(String::new, |most| format!("{} up to {}", spark(values), word(*most)))
}

/// Bytes (of a size, or per second) with four digits at most: exact ones tell people nothing here.
pub(crate) fn bytes(bytes: u64) -> String {
    let (mut value, mut unit) = (bytes, 0);
    while value >= 10_000 && unit < UNITS.len() - 1 {
        (value, unit) = (value >> 10, unit + 1);
    }
    format!("{value}{}", UNITS[unit])
}

const UNITS: [&str; 5] = ["", "Ki", "Mi", "Gi", "Ti"];

fn mean(values: &[u64]) -> u64 {
    let sum: u128 = values.iter().map(|value| u128::from(*value)).sum();
    u64::try_from(sum / values.len().max(1) as u128).unwrap_or(u64::MAX)
}

fn block(value: u64, most: u64) -> char {
    let level = u128::from(value) * (BLOCKS.len() as u128 - 1) / u128::from(most);
    usize::try_from(level).ok().and_then(|level| BLOCKS.get(level)).copied().unwrap_or(' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_reach_from_nothing_to_the_highest() {
        assert_eq!(spark(&[]), "");
        assert_eq!(spark(&[0, 0]), "▁▁");
        assert_eq!(spark(&[0, 50, 100]), "▁▄█");
        assert_eq!(spark(&[u64::MAX; 3]), "███");
        assert_eq!(spark_up_to(&[1, 2], |most| format!("{most}m")), "▄█ up to 2m");
        let hour: Vec<u64> = (0..240).collect();
        let line: Vec<char> = spark(&hour).chars().collect();
        assert_eq!((line.len(), line[0], line[29]), (WIDTH, '▁', '█'));
    }

    #[test]
    fn bytes_are_short() {
        assert_eq!(bytes(0), "0");
        assert_eq!(bytes(9_999), "9999");
        assert_eq!(bytes(10_240), "10Ki");
        assert_eq!(bytes(3 << 30), "3072Mi");
        assert_eq!(bytes(u64::MAX), "16777215Ti");
    }
}
