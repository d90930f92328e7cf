// Registers the MBeans of a table on the platform's server, in place of the virtual machine's own, so that the
// JMX exporter's agent finds those and no others. Ends when its standard input does, or after the time limit.
//
//   java -javaagent:AGENT.jar=127.0.0.1:PORT:CONFIG Beans.java TABLE SECONDS
//
// A line of the table is: object name, path of the attribute (composites by '/'), type, value; tab-separated.

import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import javax.management.Attribute;
import javax.management.AttributeList;
import javax.management.AttributeNotFoundException;
import javax.management.DynamicMBean;
import javax.management.MBeanAttributeInfo;
import javax.management.MBeanInfo;
import javax.management.MBeanServer;
import javax.management.ObjectName;
import javax.management.openmbean.CompositeDataSupport;
import javax.management.openmbean.CompositeType;
import javax.management.openmbean.OpenType;
import javax.management.openmbean.SimpleType;

public class Beans {
    static class Bean implements DynamicMBean {
        final Map<String, Object> values = new LinkedHashMap<>();

        public Object getAttribute(String name) throws AttributeNotFoundException {
            if (!values.containsKey(name)) {
                throw new AttributeNotFoundException(name);
            }
            return values.get(name);
        }

        public AttributeList getAttributes(String[] names) {
            AttributeList list = new AttributeList();
            for (String name : names) {
                list.add(new Attribute(name, values.get(name)));
            }
            return list;
        }

        public MBeanInfo getMBeanInfo() {
            List<MBeanAttributeInfo> infos = new ArrayList<>();
            // The description is the one that standard MBeans have.
            values.forEach((name, value) -> infos.add(new MBeanAttributeInfo(
                    name, value.getClass().getName(), "Attribute exposed for management", true, false, false)));
            return new MBeanInfo("Bean", "", infos.toArray(new MBeanAttributeInfo[0]), null, null, null);
        }

        public void setAttribute(Attribute attribute) {}

        public AttributeList setAttributes(AttributeList attributes) {
            return new AttributeList();
        }

        public Object invoke(String name, Object[] parameters, String[] signature) {
            return null;
        }
    }

    static Object parse(String type, String text) {
        switch (type) {
            case "int": return Integer.valueOf(text);
            case "float": return Double.valueOf(text);
            case "bool": return Boolean.valueOf(text);
            default: return text;
        }
    }

    static OpenType<?> typeOf(Object value) {
        return value instanceof Integer ? SimpleType.INTEGER
                : value instanceof Double ? SimpleType.DOUBLE
                : value instanceof Boolean ? SimpleType.BOOLEAN : SimpleType.STRING;
    }

    public static void main(String[] arguments) throws Exception {
        MBeanServer server = ManagementFactory.getPlatformMBeanServer();
        for (ObjectName name : server.queryNames(null, null)) {
            if (!name.getDomain().equals("JMImplementation")) {
                server.unregisterMBean(name);
            }
        }
        Map<String, Bean> beans = new LinkedHashMap<>();
        Map<String, Map<String, Map<String, Object>>> composites = new LinkedHashMap<>();
        for (String line : Files.readAllLines(Path.of(arguments[0]))) {
            String[] cells = line.split("\t", -1);
            Bean bean = beans.computeIfAbsent(cells[0], name -> new Bean());
            Object value = parse(cells[2], cells[3]);
            int slash = cells[1].indexOf('/');
            if (slash < 0) {
                bean.values.put(cells[1], value);
            } else {
                composites.computeIfAbsent(cells[0], name -> new LinkedHashMap<>())
                        .computeIfAbsent(cells[1].substring(0, slash), name -> new LinkedHashMap<>())
                        .put(cells[1].substring(slash + 1), value);
            }
        }
        for (String name : composites.keySet()) {
            for (Map.Entry<String, Map<String, Object>> entry : composites.get(name).entrySet()) {
                String[] keys = entry.getValue().keySet().toArray(new String[0]);
                OpenType<?>[] types = new OpenType<?>[keys.length];
                for (int i = 0; i < keys.length; i++) {
                    types[i] = typeOf(entry.getValue().get(keys[i]));
                }
                CompositeType type = new CompositeType(entry.getKey(), entry.getKey(), keys, keys, types);
                beans.get(name).values.put(entry.getKey(), new CompositeDataSupport(type, entry.getValue()));
            }
        }
        for (Map.Entry<String, Bean> entry : beans.entrySet()) {
            server.registerMBean(entry.getValue(), new ObjectName(entry.getKey()));
        }
        Thread limit = new Thread(() -> {
            try {
                Thread.sleep(1000L * Long.parseLong(arguments[1]));
            } catch (InterruptedException interrupted) {
                return;
            }
            Runtime.getRuntime().halt(3);
        });
        limit.setDaemon(true);
        limit.start();
        System.out.println("ready");
        System.out.flush();
        while (System.in.read() >= 0) {}
    }
}
