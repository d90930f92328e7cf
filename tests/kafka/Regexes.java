// Says what java.util.regex does: each line is a pattern and a text in Base64, tab-separated; the answer is
// "refused", "no", or the groups in Base64 with "-" for a group that took no part.

import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Base64;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.regex.PatternSyntaxException;

public class Regexes {
    public static void main(String[] arguments) throws Exception {
        StringBuilder out = new StringBuilder();
        for (String line : Files.readAllLines(Path.of(arguments[0]))) {
            String[] cells = line.split("\t", -1);
            String pattern = new String(Base64.getDecoder().decode(cells[0]), StandardCharsets.UTF_8);
            String text = new String(Base64.getDecoder().decode(cells[1]), StandardCharsets.UTF_8);
            try {
                Matcher matcher = Pattern.compile(pattern).matcher(text);
                if (!matcher.matches()) {
                    out.append("no");
                } else {
                    for (int group = 0; group <= matcher.groupCount(); group++) {
                        String taken = matcher.group(group);
                        byte[] bytes = taken == null ? null : taken.getBytes(StandardCharsets.UTF_8);
                        out.append(group > 0 ? "," : "=")
                                .append(bytes == null ? "-" : Base64.getEncoder().encodeToString(bytes));
                    }
                }
            } catch (PatternSyntaxException refused) {
                out.append("refused");
            }
            out.append('\n');
        }
        System.out.print(out);
    }
}
